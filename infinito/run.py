"""The one entry point: `python -m infinito.run`, also installed as `infinito`.

Only this module reads Hydra's state, seeds, and knows the output folder. Nothing heavy is imported
before a job starts. Hydra keeps its parser of the command line private; it is used all the same,
since another parser would not know every flag of `hydra.main`.
"""

from __future__ import annotations

from infinito import sign_of_life

if __name__ == "__main__":
    sign_of_life.begin("reading the configuration")  # the imports below take their time

import importlib
import os
import re
import secrets
import signal
import sys
import traceback
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.markup import escape

from infinito import launcher
from infinito.cli import composition
from infinito.cli.command_line import refuse_other_encodings, tidy
from infinito.cli.completion import complete_value
from infinito.cli.continuation import effective_values, stable_checkpoint
from infinito.cli.help import help_text
from infinito.cli.read_by import READ_BY
from infinito.cli.revisions import pin_revisions
from infinito.cli.typed_values import parse
from infinito.config import RunConf
from infinito.errors import ConfigError, InfinitoError, ReportedElsewhere, SaveError
from infinito.paths import conf_dir, describe_folder_fault
from infinito.process import (
    drop_output,
    flush_denormals,
    has_no_reader,
    keep_freed_memory,
    leave_at_once,
    share_cores,
    skip_filling,
    use_matmul_precision,
    use_threads,
)
from infinito.run_folder.commands import format_text
from infinito.run_folder.folder import folder_beside, name_new_folder
from infinito.run_folder.tables import without_next
from infinito.training.callbacks.interruption import Interrupted
from infinito.wording import escape_controls

_LACKS_MEMORY = re.compile("can't allocate memory|out of memory", re.IGNORECASE)
"""What torch says in a RuntimeError, on the CPU and on a GPU."""

Score = float | list[float] | None

OmegaConf.register_new_resolver(
    "run_suffix", lambda: secrets.token_hex(3), use_cache=True, replace=True
)


def main() -> None:
    """Read the command line, then report every fault of it, or run the job or the sweep."""
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    share_cores()
    leave_at_once()
    parser = get_args_parser()
    sys.argv[1:] = tidy(sys.argv[1:], parser)
    args = parser.parse_args()
    try:
        if args.experimental_rerun:
            raise ConfigError(
                "--experimental-rerun unpickles a file, which can run any code: "
                "use `resume=<run folder>`, or repeat the overrides in its overrides.yaml"
            )
        refuse_other_encodings(sys.argv[1:])
        if args.shell_completion and (words := complete_value(os.environ.get("COMP_LINE", ""))):
            print(" ".join(words))
            return
        if args.help:
            text = help_text(args.overrides, _folders(args), args.config_name or "config")
            sign_of_life.end()
            print(text, flush=True)
            return
        if not (args.hydra_help or args.shell_completion or args.info):
            sys.argv[1:] = _in_one_folder(sys.argv[1:], args)
        if not args.multirun:  # a sweep goes on until its first line or job
            sign_of_life.end()
        hydra.main(config_path=str(conf_dir()), config_name="config", version_base="1.3")(job)()
        sys.stdout.flush()
    except Exception as error:
        raise SystemExit(_reported(error)) from None
    except KeyboardInterrupt:
        sign_of_life.end()
        if not {"-m", "--multirun"} & set(sys.argv):  # a search has said how to go on
            Console(stderr=True).print("stopped by Ctrl+C before there was anything to save")
        raise SystemExit(130) from None


def _folders(args: Any) -> list[Path]:
    """Return where configuration files lie, the last one winning."""
    own = conf_dir() if args.config_path is None else Path(args.config_path).absolute()
    return [own, *([Path(args.config_dir)] if args.config_dir else [])]


def _in_one_folder(argv: Sequence[str], args: Any) -> list[str]:
    """Return the checked command line, with the folder that all processes of a launcher share."""
    launch = launcher.find_launch()
    if launch is None:
        return _checked(argv, args)[0]
    try:
        checked, folder = _checked(argv, args)
    except InfinitoError as error:
        if launch.rank == 0:
            launcher.tell_others(launch, None, str(error))
        elif launcher.learn(launch)[1] == str(error):
            raise ReportedElsewhere(error.exit_code) from None
        raise
    if launch.rank == 0:
        launcher.tell_others(launch, folder)
    else:
        os.environ.setdefault("RANK", str(launch.rank))  # a node's first is not the first of all
        folder, fault = launcher.learn(launch)
        if fault is not None:
            raise ReportedElsewhere(ConfigError.exit_code)
    return checked if folder is None else [*checked, f"hydra.run.dir={format_text(folder)}"]


def _checked(argv: Sequence[str], args: Any) -> tuple[list[str], str | None]:
    """Return the command line with the folder that it means, and a new folder; raise all faults.

    The new folder is for several processes that must have the same; None where it is given.
    """
    run = composition.check(
        args.overrides,
        conf_dir() if args.config_path is None else Path(args.config_path).absolute(),
        args.config_name or "config",
        args.config_dir,
        sweep=args.multirun,
    )
    if faults := list(launcher.node_faults(run, args.multirun)):
        raise ConfigError(faults)
    if stable_checkpoint(run.resume) is not None:
        argv = [*argv, f"++name={format_text(run.name)}"]
    elif run.resume is not None:
        folder = format_text(Path(run.resume))
        return [*argv, f"hydra.run.dir={folder}", f"++resume={folder}"], None
    beside = folder_beside(run.task, run.checkpoint, run.split)
    chosen = args.multirun or any("hydra.run.dir" in each for each in args.overrides)
    if chosen:
        return list(argv), None
    if beside is not None:
        return [*argv, f"hydra.run.dir={format_text(beside)}"], None
    return list(argv), str(name_new_folder(run.runs_dir, run.name).absolute())


def job(composed: DictConfig) -> Score:
    """Run one configured job and return its score or scores, which sweepers read."""
    sign_of_life.end()
    settings = HydraConfig.get()
    overrides = list(settings.overrides.task)
    folder = Path(os.path.relpath(settings.runtime.output_dir))
    try:
        run = parse(effective_values(composition.plain(composed), overrides))
        if settings.mode == RunMode.MULTIRUN and run.trainer.processes > 1:
            raise ConfigError(
                f"`trainer.devices`={run.trainer.devices} starts this command again for each "
                "device, which in a sweep would run the whole sweep again. Use `trainer=default` "
                "in a sweep, or `trainer=ddp` in one run"
            )
        with without_next() if settings.mode == RunMode.MULTIRUN else nullcontext():
            return execute(run, folder, overrides)
    except KeyboardInterrupt:
        if sys.stderr.isatty():
            print(file=sys.stderr)  # the terminal's ^C stands in this line
        stop = Interrupted(signal.SIGINT, "by Ctrl+C, with nothing to save")
        if settings.mode == RunMode.MULTIRUN:
            raise stop from None
        raise SystemExit(_reported(stop, folder)) from None
    except Exception as error:
        if settings.mode == RunMode.MULTIRUN:
            raise  # the sweeper decides
        raise SystemExit(_reported(error, folder)) from None
    finally:
        _remove_if_empty(folder)


def execute(conf: RunConf, folder: Path, overrides: Sequence[str] = ()) -> Score:
    """Run the job that `conf.task` names, in `folder`.

    Returns:
        The score, for tasks that have one; a list where `score` names several figures.
    """
    keep_freed_memory()
    with Console(stderr=True).status("loading torch, Lightning and transformers"):
        module = importlib.import_module(f"infinito.tasks.{conf.task}")
        if "torch" in sys.modules:
            flush_denormals()
            skip_filling()
            reads = "trainer.matmul_precision" in READ_BY[conf.task]
            use_matmul_precision(conf.trainer.matmul_precision if reads else "highest")
        if "trainer.threads" in READ_BY[conf.task] and conf.trainer.threads is not None:
            use_threads(conf.trainer.threads)
    score: Score = module.run(pin_revisions(conf), folder, list(overrides))
    return score


def _remove_if_empty(folder: Path) -> None:
    """Hydra makes the output folder before the job; a job that wrote nothing leaves none."""
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
        if folder.parent.is_dir() and not any(folder.parent.iterdir()):
            folder.parent.rmdir()


def _reported(error: Exception, folder: Path | None = None) -> int:
    """Print an error, in one line where the user cannot mend it; return its exit code."""
    sign_of_life.end()
    if isinstance(error, ReportedElsewhere):
        return error.exit_code
    if isinstance(error, BrokenPipeError) and has_no_reader():
        drop_output()
        return 1
    heading = "error"
    if isinstance(error, InfinitoError):
        message, code, heading = str(error), error.exit_code, error.heading
    elif isinstance(error, HydraException):
        message, code = f"{error}{f' ({error.__cause__})' if error.__cause__ else ''}", 2
    elif isinstance(error, RuntimeError) and _LACKS_MEMORY.search(str(error)):
        message = (
            f"not enough memory: {str(error).splitlines()[0]}\nMake the model (`model.*`), "
            "`data.batch_size` or `data.block_size` smaller; `dry_run=true` measures a step."
        )
        code = 1
    elif isinstance(error, OSError) and (fault := describe_folder_fault(error, folder)):
        message, code = fault, SaveError.exit_code
    else:
        message, code = f"{type(error).__name__}: {error}".splitlines()[0], 1
        log = folder / "run.log" if folder is not None else None
        if log is not None and log.is_file():
            message += f"\nThis is not expected; the traceback is in {log}"
        else:
            traceback.print_exception(error)
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    colour = "red" if heading == "error" else "yellow"
    console.print(f"[bold {colour}]{heading}:[/] {escape(escape_controls(message))}")
    return code


if __name__ == "__main__":
    main()
