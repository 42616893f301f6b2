"""The arguments of the verb `report`.

They have a file of their own because every command parses them, but only `report` needs the verb's imports.
"""

import argparse
from pathlib import Path

OUTPUT = Path("report.html")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("target", metavar="RUN|FILE.sluice", help="run folder, .sluice file, or a released network")
    parser.add_argument(
        "--data", help="folder of images (one folder for each class, or all in one), or a data set's name"
    )
    parser.add_argument("--data-dir", type=Path, help="folder of the data set")
    parser.add_argument("-o", "--output", type=Path, default=OUTPUT, help="the HTML file to write")
    parser.add_argument("--figures", type=Path, metavar="DIR", help="also write every figure there as SVG and PNG")
    parser.add_argument(
        "--beside", type=Path, nargs="+", default=[], metavar="RUN", help="other runs to draw in the same frontier"
    )
    parser.add_argument("--limit", type=int, help="use this many images")
    parser.add_argument("--threads", type=int, default=1, help="threads of the engine when it is timed")
    parser.add_argument("--preprocessing", help="none, imagenet or MEAN/STD; default: as the file says")
