"""Limits that keep a hostile file from asking for unbounded memory or time; real networks stay far below."""

MAX_OPS = 10_000
MAX_SIDE = 16_384  # of planes, and of what a kernel reaches over
MAX_STRIDE = 4 * MAX_SIDE  # a padded side is less than 3
MAX_CHANNELS = 1 << 20
MAX_ELEMENTS = 1 << 26  # of one value, per sample
MAX_ATTRIBUTE = (1 << 31) - 1  # of integers: the engine stores them in 32 bits
MAX_FLOAT = 3.4028234e38  # of other numbers: the engine stores them in float32
MAX_INPUTS = 4096  # of a sum or a concatenation
MAX_RUNS = 1 << 21  # of channels, over all ops that read or write them
MAX_WORK = 1 << 41  # multiply-adds, elements of windows and summands of one sample
