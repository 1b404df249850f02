// Fused attention on a CPU: forward with an online softmax, and a backward that recomputes scores.
//
// Scores are q·k, −‖q−k‖₁, −‖q−k‖₂, −‖q−k‖₂², −‖q−k‖∞ or −‖q−k‖ₚ, times one factor. Work goes in tiles of 6 queries
// by 64 keys, so memory is linear in time. Everything that a row or a key adds up is added in one
// order, whatever the number of threads.
//
// The l1 score takes a maximum and a multiply-add per element: Σ|q−k| = Σq + Σk − 2·Σmax(q, k),
// with q and k measured from a common centre, so that an offset of all cancels.
#include "backward.h"
#include "decode.h"
#include "forward.h"

template <Kernel K>
void serve(const Call& c, bool back) {
  if (back)
    backward<K>(c);
  else if (few_queries(c))
    decode<K>(c);
  else
    forward<K>(c);
}

static int64_t serve(const Call& c, bool back) {
  try {
    switch (c.kernel) {
      case DOT: serve<DOT>(c, back); break;
      case L1: serve<L1>(c, back); break;
      case L2: serve<L2>(c, back); break;
      case LINF: serve<LINF>(c, back); break;
      case LP: serve<LP>(c, back); break;
      default: serve<SQ_L2>(c, back);
    }
    return 0;
  } catch (const std::bad_alloc&) {
    return 1;
  }
}

#define EXPORTED extern "C" __attribute__((visibility("default"))) int64_t

// Both return 0, or 1 when memory ran out on any thread.
EXPORTED infinito_attention_forward(const Call* call) { return serve(*call, false); }
EXPORTED infinito_attention_backward(const Call* call) { return serve(*call, true); }
