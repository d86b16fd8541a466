"""The command ``fastconv``: train LeNet-5 on handwritten digits, read pictures with it, show what runs.

Exit status 0 is success. 2 is a wrong option, file or picture, or a package that is missing, with one line on stderr.
130 is an interruption by Ctrl-C.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence
from typing import NoReturn

from fastconv import __version__
from fastconv.cli.errors import CommandError
from fastconv.runtime import MOST_THREADS

__all__ = ["main"]

DEFAULT_OUTPUT = "fastconv-run"
MODEL_FILE = "lenet5.npz"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments after the program's name; ``sys.argv[1:]`` by default.

    Returns
    -------
    int
        The exit status.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that knows no × shows a question mark
    try:
        options = _parser().parse_args(argv)
        _run(options)
        sys.stdout.flush()
    except CommandError as error:
        print(f"fastconv: {error}", file=sys.stderr)
        return 2
    except SystemExit as error:  # argparse: --help and --version end with 0, wrong options with 2
        return error.code if isinstance(error.code, int) else 2
    except MemoryError as error:
        print(f"fastconv: out of memory {error}".rstrip(), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("fastconv: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader has gone, as in `fastconv info | head -1`
        sys.stdout = io.StringIO()
        return 0
    return 0


def _run(options: argparse.Namespace) -> None:
    if options.command == "train":
        from fastconv.cli.train import train

        train(options)
    elif options.command == "predict":
        from fastconv.cli.predict import predict

        predict(options)
    elif options.command == "filter":
        from fastconv.cli.filter import filter_picture

        filter_picture(options)
    elif options.command == "bench":
        from fastconv.cli.bench import bench

        bench(options)
    else:
        from fastconv.cli.info import info

        info()


class _Parser(argparse.ArgumentParser):
    """A parser whose complaint is one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {' '.join(message.split())} (see {self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="fastconv", description="LeNet-5 on handwritten digits, by fastconv's compiled kernels.")
    parser.add_argument("--version", action="version", version=f"fastconv {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=_Parser)
    _add_train(commands.add_parser("train", help="train LeNet-5, save it and draw what it learned"))
    _add_predict(commands.add_parser("predict", help="read the digit in each picture"))
    _add_filter(commands.add_parser("filter", help="send a picture through a kernel"))
    _add_bench(commands.add_parser("bench", help="time convolutions here, beside the peers that are installed"))
    commands.add_parser("info", help="show version, instruction sets, threads and NumPy")
    return parser


def _add_train(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--data", metavar="WHAT", default="digits",
        help="'digits' (default): scikit-learn's 1,797 digits; 'mnist': mnist.npz from Keras' cache; or the path of "
             "an mnist.npz or of a folder with MNIST's four IDX files, plain or .gz")  # fmt: skip
    add("--epochs", metavar="N", type=_whole(1), default=8, help="passes over the training digits (default 8)")
    add("--batch-size", metavar="N", type=_whole(1), default=32, help="digits in a step (default 32)")
    add("--distort", metavar="N", type=_whole(0, 100), default=None,
        help="distorted copies of each training digit (default 2 for the digits, 0 for MNIST)")  # fmt: skip
    add("--optimizer", choices=["adam", "adamw", "rmsprop", "sgd"], default="adam",
        help="default adam; sgd has a Nesterov momentum of 0.9")  # fmt: skip
    add("--learning-rate", metavar="RATE", type=_positive, default=None,
        help="default 0.002 for adam and adamw, 0.001 for rmsprop, 0.02 for sgd")  # fmt: skip
    add("--seed", metavar="N", type=_whole(0, 2**32 - 1), default=0,
        help="of the first weights, the shuffling and the distortions (default 0)")  # fmt: skip
    add(
        "--threads",
        metavar="N",
        type=_whole(1, MOST_THREADS),
        default=1,
        help="default 1; the result is the same to the bit with any number",
    )
    add("--output", metavar="DIR", default=DEFAULT_OUTPUT, help=f"folder for the results (default {DEFAULT_OUTPUT})")
    add("--no-pictures", action="store_true", help="draw nothing, which needs no matplotlib")
    add("--quiet", action="store_true", help="print the test accuracy alone")


def _add_predict(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("images", metavar="IMAGE", nargs="+", help="a picture of one digit, dark on light or light on dark")
    add("--weights", metavar="FILE", default=f"{DEFAULT_OUTPUT}/{MODEL_FILE}",
        help="the model that 'fastconv train' saved (default %(default)s)")  # fmt: skip
    add("--threads", metavar="N", type=_whole(1, MOST_THREADS), default=None, help="default: every processor core")


def _add_filter(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("image", metavar="IMAGE", help="any picture that Pillow reads")
    add("--kernel", metavar="KERNEL", required=True,
        help="sobel_x, sobel_y, sharpen, blur, or a file: .npy, or rows of numbers as text or .csv")  # fmt: skip
    add("-o", "--output", metavar="OUT", required=True, help="the picture to write, in the format of its suffix")


def _add_bench(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--threads", metavar="N", type=_whole(1, MOST_THREADS), nargs="+", default=[1],
        help="numbers of threads, one table each (default 1)")  # fmt: skip
    add("--only", metavar="WORD,…", default=None, help="layers whose name holds one of the words")
    add("--random", metavar="N", type=_whole(0, 1000), default=0, help="random layers besides (default 0)")
    add("--rounds", metavar="N", type=_whole(1, 1000), default=5, help="turns of each contender (default 5)")
    add("--alone", action="store_true", help="without the peers")
    add("--output", metavar="DIR", default="fastconv-bench", help="folder for the results (default %(default)s)")
    add("--no-pictures", action="store_true", help="draw nothing, which needs no matplotlib")


class _whole:  # noqa: N801 - argparse prints its name
    """A whole number within bounds."""

    def __init__(self, least: int, most: int = 2**31 - 1) -> None:
        self.least, self.most = least, most

    def __call__(self, text: str) -> int:
        bounds = f"of at least {self.least}" if self.most == 2**31 - 1 else f"from {self.least} to {self.most}"
        try:
            number = int(text)
        except ValueError:
            number = self.least - 1
        if not self.least <= number <= self.most:
            raise argparse.ArgumentTypeError(f"expected a whole number {bounds}, got {text!r}")
        return number


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return number
