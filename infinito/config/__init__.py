"""The typed schema of every configuration group; values only, nothing heavy is imported.

`conf/<group>/<name>.yaml` holds the values of a `<Name>Conf` of `infinito/config/<group>.py`. A
group with several kinds of member (data) names the kind in its `name` key.
"""

from infinito.config.attention import METRICS, OWN, AttentionConf
from infinito.config.chat import ChatConf
from infinito.config.data import (
    SKILLS,
    ChatDataConf,
    ConversationsConf,
    DataConf,
    HubConf,
    MarkovConf,
    MixtureConf,
    PairsConf,
    PythonDocsConf,
    RowsConf,
    SkillsConf,
    SplitTextConf,
    TextConf,
    WikiText2Conf,
    WrittenTextConf,
)
from infinito.config.dpo import LOSSES, SMOOTHED_LOSSES, TRL_NAMES, DpoConf, dpo_faults
from infinito.config.generation import GenerationConf
from infinito.config.limits import limited
from infinito.config.lm_eval import LmEvalConf
from infinito.config.logger import LoggerConf, MlflowConf, TrackioConf, WandbConf
from infinito.config.memory import MemoryConf, memory_faults
from infinito.config.model import DistanceLMConf, LoraConf, ModelConf, PretrainedConf
from infinito.config.objective import LanguagePhiConf, ObjectiveConf, objective_faults
from infinito.config.optimizer import AdamWConf, MuonConf
from infinito.config.renamed import RENAMED_KEYS, SB3_NAMES, is_renamed, translate_renamed
from infinito.config.rl import REWARDS, RewardConf, RlConf, rl_faults
from infinito.config.serve import ServeConf
from infinito.config.tokenizer import TokenizerConf
from infinito.config.trainer import TrainerConf
from infinito.config.whole_run import TASKS, VARIANTS, RunConf

__all__ = [
    "LOSSES",
    "METRICS",
    "OWN",
    "RENAMED_KEYS",
    "REWARDS",
    "SB3_NAMES",
    "SKILLS",
    "SMOOTHED_LOSSES",
    "TASKS",
    "TRL_NAMES",
    "VARIANTS",
    "AdamWConf",
    "AttentionConf",
    "ChatConf",
    "ChatDataConf",
    "ConversationsConf",
    "DataConf",
    "DistanceLMConf",
    "DpoConf",
    "GenerationConf",
    "HubConf",
    "LanguagePhiConf",
    "LmEvalConf",
    "LoggerConf",
    "LoraConf",
    "MarkovConf",
    "MemoryConf",
    "MixtureConf",
    "MlflowConf",
    "ModelConf",
    "MuonConf",
    "ObjectiveConf",
    "PairsConf",
    "PretrainedConf",
    "PythonDocsConf",
    "RewardConf",
    "RlConf",
    "RowsConf",
    "RunConf",
    "ServeConf",
    "SkillsConf",
    "SplitTextConf",
    "TextConf",
    "TokenizerConf",
    "TrackioConf",
    "TrainerConf",
    "WandbConf",
    "WikiText2Conf",
    "WrittenTextConf",
    "dpo_faults",
    "is_renamed",
    "limited",
    "memory_faults",
    "objective_faults",
    "rl_faults",
    "translate_renamed",
]
