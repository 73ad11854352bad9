"""Runs atheris on every target: `python -m tests.fuzz [--seconds 60] [picture ...]`.

Needs the extra `fuzz`. What makes a target fail is written to fuzz-work/; give it to the target's
function to see the error again.
"""

import argparse
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

NAMES = ("picture", "feature", "headers", "message", "recording")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(NAMES)}")
    options = parser.parse_args()
    if unknown := set(options.targets) - set(NAMES):
        parser.error(f"found {sorted(unknown)}, expected some of {', '.join(NAMES)}")
    if len(options.targets) == 1:
        fuzz(options.targets[0], options.seconds)
    failed = []
    # Each in a process of its own, for libFuzzer ends the process.
    for name in options.targets or NAMES:
        print(f"== {name}, {options.seconds} s", flush=True)
        command = [sys.executable, "-m", "tests.fuzz", "--seconds", str(options.seconds), name]
        if subprocess.run(command, check=False).returncode:
            failed.append(name)
    print(f"failed: {', '.join(failed) or 'none'}")
    return len(failed)


def fuzz(name: str, seconds: int) -> None:
    """Fuzz one target; never returns."""
    import atheris

    # Branches of these are what the fuzzer tries to reach; Pillow's decoders in C are not seen.
    with atheris.instrument_imports(include=["limelight", "PIL"]):
        from tests.fuzz.targets import TARGETS

    found = Path("fuzz-work")
    found.mkdir(exist_ok=True)
    with TemporaryDirectory() as folder:
        for number, seed in enumerate(TARGETS[name].seeds()):
            (Path(folder) / f"seed-{number}").write_bytes(seed)
        options = [f"-max_total_time={seconds}", f"-artifact_prefix={found}/{name}-"]
        options += ["-timeout=20", "-rss_limit_mb=3000", "-max_len=20000", "-print_final_stats=1"]
        atheris.Setup([name, *options, folder], TARGETS[name].run)
        atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
