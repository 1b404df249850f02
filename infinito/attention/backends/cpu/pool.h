// A pool of threads that sleeps between calls, survives fork, and never changes a result.
#pragma once
#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>

class Pool {
 public:
  using Task = std::function<void(int64_t)>;

  // Calls task(0) … task(count - 1), started in this order, on up to `threads` threads, of which
  // the caller is one. While another caller holds the pool, the caller works alone. Throws
  // std::bad_alloc, once all threads are done, when one of them ran out of memory.
  void run(int64_t threads, int64_t count, const Task& task) {
    std::unique_lock<std::mutex> mine(busy_, std::defer_lock);
    int64_t others = std::min(threads, count) - 1;
    if (others < 1 || !mine.try_lock()) {
      for (int64_t i = 0; i < count; i++) task(i);
      return;
    }
    {
      std::lock_guard<std::mutex> lock(state_);
      try {
        for (; started_ < others; started_++) std::thread(&Pool::serve, this, round_).detach();
      } catch (const std::system_error&) {
        others = started_;  // the machine gives no more threads
      }
      failed_ = false;
      task_ = &task;
      count_ = count;
      next_ = 0;
      seats_ = working_ = others;
      round_++;
    }
    wake_.notify_all();
    work();
    std::unique_lock<std::mutex> lock(state_);
    working_ -= seats_;  // nobody waits for threads that had not yet woken up
    seats_ = 0;
    done_.wait(lock, [this] { return working_ == 0; });
    if (failed_) throw std::bad_alloc();
  }

  // Whether this call will throw, so that nobody need wait for what a thread has left undone.
  bool failed() const { return failed_; }

 private:
  void work() {
    try {
      for (int64_t i; !failed_ && (i = next_.fetch_add(1)) < count_;) (*task_)(i);
    } catch (const std::bad_alloc&) {
      failed_ = true;
    }
  }

  void serve(uint64_t seen) {
    std::unique_lock<std::mutex> lock(state_);
    for (;;) {
      wake_.wait(lock, [&] { return round_ != seen; });
      seen = round_;
      if (seats_ == 0) continue;
      seats_--;
      lock.unlock();
      work();
      lock.lock();
      if (--working_ == 0) done_.notify_one();
    }
  }

  std::mutex busy_, state_;
  std::condition_variable wake_, done_;
  const Task* task_ = nullptr;
  std::atomic<int64_t> next_{0};
  std::atomic<bool> failed_{false};
  int64_t count_ = 0, seats_ = 0, working_ = 0, started_ = 0;
  uint64_t round_ = 0;
};

// Never destroyed: its threads may outlive static objects. A forked child has none of the threads
// and perhaps a locked mutex, so it gets a pool of its own.
static Pool* pool = [] {
  pthread_atfork(nullptr, nullptr, [] { pool = new Pool; });
  return new Pool;
}();
