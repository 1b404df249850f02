"""The schema of a whole run."""

from __future__ import annotations

from dataclasses import dataclass, field

from infinito.config.attention import AttentionConf
from infinito.config.chat import ChatConf
from infinito.config.data import (
    ChatDataConf,
    DataConf,
    HubConf,
    MarkovConf,
    MixtureConf,
    PairsConf,
    PythonDocsConf,
    SkillsConf,
    TextConf,
    WikiText2Conf,
)
from infinito.config.dpo import DpoConf
from infinito.config.generation import GenerationConf
from infinito.config.limits import limited
from infinito.config.lm_eval import LmEvalConf
from infinito.config.logger import LoggerConf, MlflowConf, TrackioConf, WandbConf
from infinito.config.model import DistanceLMConf, ModelConf, PretrainedConf
from infinito.config.objective import LanguagePhiConf, ObjectiveConf
from infinito.config.optimizer import AdamWConf, MuonConf
from infinito.config.rl import RlConf
from infinito.config.serve import ServeConf
from infinito.config.tokenizer import TokenizerConf
from infinito.config.trainer import TrainerConf

TASKS = (
    "train",
    "trial",
    "search_report",
    "export_sweep",
    "evaluate",
    "lm_eval",
    "generate",
    "chat",
    "serve",
    "analyze",
    "calibrate_phi",
    "compare",
    "reproducibility",
    "doctor",
    "list",
    "dpo",
    "check_data",
    "score_pairs",
    "rl_scheduler",
    "report",
    "pipeline",
)


@dataclass
class RunConf:
    """A whole run."""

    model: ModelConf
    attention: AttentionConf
    data: DataConf
    tokenizer: TokenizerConf
    objective: ObjectiveConf
    optimizer: AdamWConf
    trainer: TrainerConf
    logger: LoggerConf
    generation: GenerationConf
    chat: ChatConf
    serve: ServeConf
    lm_eval: LmEvalConf
    dpo: DpoConf
    rl: RlConf
    task: str = limited("train", choices=TASKS)
    name: str = limited(
        "base",
        pattern=(
            r"[^\W_][\w.-]*",
            "letters, digits and `._-`, beginning with a letter or digit",
        ),
    )
    """Names the run's folder."""
    seed: int = limited(0, at_least=0, at_most=2**32 - 1)
    """Seeds initial weights, the order of batches, dropout and what a task draws."""
    deterministic: bool = True
    """Same seed, same bits."""
    score: str = "${own_score:${task}}"
    """The figure of summary.json that a sweep gets; by default the one that the task minimizes."""
    entropy_weight: float = 0.1
    """Weight of the attention's entropy in `score=composite` (`task=trial`)."""
    runs_dir: str = limited("multirun", pattern=(r"(?s).*\S.*", "a folder, `.` for this one"))
    """Where run folders are made."""
    checkpoint: str | None = None
    """Run folder, checkpoint file or Hugging Face folder to start from."""
    agent: str | None = None
    """Run folder or checkpoint of `task=rl_scheduler` that steers `task=generate`."""
    resume: str | None = None
    """Run folder to go on with, exactly where it stopped, `last` for the newest; or the
    `checkpoints/stable.ckpt` of a run of `optimizer.schedule=wsd`, to begin a longer run from with
    `trainer.max_steps` or `epochs`."""
    split: str = limited("valid", choices=("train", "valid", "test"))
    """What `task=evaluate` and `task=analyze` read."""
    runs: list[str] = field(default_factory=list)
    """What `task=compare` compares: run folders, folders of sweeps, or patterns such as `a/*`."""
    stage_overrides: list[str] = field(default_factory=list)
    """Overrides of single stages of `task=pipeline`, as `sft:trainer.max_steps=5000`; the stages
    are pretrain, sft and dpo."""
    push: str | None = None
    """Name on the Hugging Face hub, `<owner>/<name>`, that the finished model is sent to, with its
    card and its report; checked before the training."""
    push_private: bool = True
    """Whether only you see a model that `push` makes; one that is there stays as it is."""
    dry_run: bool = False
    """Build everything, run one batch, estimate memory and time, write nothing."""


VARIANTS: dict[str, dict[str, type]] = {
    "model": {
        "distance_lm": DistanceLMConf,
        "pretrained": PretrainedConf,
    },
    "objective": {
        "language": ObjectiveConf,
        "language_phi": LanguagePhiConf,
    },
    "optimizer": {
        "adamw": AdamWConf,
        "muon": MuonConf,
    },
    "logger": {
        "tensorboard": LoggerConf,
        "none": LoggerConf,
        "wandb": WandbConf,
        "mlflow": MlflowConf,
        "trackio": TrackioConf,
    },
    "data": {
        "python_docs": PythonDocsConf,
        "text": TextConf,
        "hub": HubConf,
        "mixture": MixtureConf,
        "wikitext2": WikiText2Conf,
        "markov": MarkovConf,
        "pairs": PairsConf,
        "chat": ChatDataConf,
        "skills": SkillsConf,
    },
}
"""Groups whose schema depends on their `name`."""
