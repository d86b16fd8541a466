"""The shapes that every operator is tested on, by name.

Each table lists what has a reason of its own: edges of the definition first, then register tiles plus and minus one in
every direction, then layers of real networks, then shapes large enough for several threads.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastconv import reference

DTYPES = (np.float32, np.float64)
LAYOUTS = ("NCHW", "NHWC")

# Around whole and half vectors, and around one, two and three rows of register tiles, of every instruction set.
TILE_EDGES = (1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 17, 23, 24, 25, 27, 28, 29)
LONG_TILE_EDGES = (31, 32, 33, 47, 48, 49, 63, 64, 65)


def generator(name: str) -> np.random.Generator:
    """Random numbers that belong to a name."""
    return np.random.default_rng(zlib.crc32(name.encode()))


def whole_numbers(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Small integers as float64: products and sums of them are exact in float32 up to 260,000 terms."""
    return rng.integers(-8, 9, shape).astype(np.float64)


def swap_axes(array: np.ndarray, layout: str) -> np.ndarray:
    """NCHW or OIHW to ``layout``."""
    if layout == "NCHW" or array.ndim != 4:
        return array
    return np.ascontiguousarray(array.transpose(0, 2, 3, 1))


def swap_weights(weight: np.ndarray, layout: str) -> np.ndarray:
    return weight if layout == "NCHW" else np.ascontiguousarray(weight.transpose(2, 3, 1, 0))


# ---------------------------------------------------------------------------------------------------------------------
# Convolution


@dataclass(frozen=True)
class ConvCase:
    """One convolution: ``shape`` is (n, c, h, w), ``kernel`` is (k, kh, kw)."""

    name: str
    shape: tuple[int, int, int, int]
    kernel: tuple[int, int, int]
    stride: Any = 1
    padding: Any = 0
    dilation: Any = 1
    groups: int = 1

    @property
    def arguments(self) -> dict[str, Any]:
        return {"stride": self.stride, "padding": self.padding, "dilation": self.dilation, "groups": self.groups}

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        k, kh, kw = self.kernel
        return k, self.shape[1] // self.groups, kh, kw

    @property
    def output_shape(self) -> tuple[int, int, int, int]:
        n, _, h, w = self.shape
        k, *kernel = self.kernel
        return n, k, *reference.output_size((h, w), kernel, self.stride, self.padding, self.dilation)

    @property
    def products(self) -> int:
        """Multiply-adds."""
        _, per_group, kh, kw = self.weight_shape
        return int(np.prod(self.output_shape)) * per_group * kh * kw


EDGE_CONVS = [
    ConvCase("one_number", (1, 1, 1, 1), (1, 1, 1)),
    ConvCase("one_pixel_channels", (1, 7, 1, 1), (5, 1, 1)),
    ConvCase("kernel_is_input", (2, 3, 5, 4), (6, 5, 4)),
    ConvCase("kernel_is_padded_input", (1, 2, 3, 2), (4, 5, 6), padding=(1, 2)),
    ConvCase("kernel_larger_than_input", (1, 2, 2, 2), (3, 4, 4), padding=1),
    ConvCase("padding_beyond_reach", (1, 2, 3, 3), (5, 2, 2), padding=4),
    ConvCase("padding_beyond_reach_strided", (2, 3, 3, 4), (5, 2, 3), stride=(3, 2), padding=(5, 7)),
    ConvCase("only_padding_rows", (1, 1, 1, 9), (2, 3, 3), padding=(6, 0)),
    ConvCase("stride_over_kernel", (2, 3, 10, 11), (4, 2, 2), stride=4),
    ConvCase("stride_over_input", (1, 2, 5, 5), (3, 3, 3), stride=9),
    ConvCase("stride_over_kernel_1x1", (1, 9, 9, 9), (17, 1, 1), stride=2),
    ConvCase("stride_3", (1, 5, 13, 17), (7, 3, 3), stride=3, padding=1),
    ConvCase("stride_not_dividing", (1, 2, 8, 9), (3, 3, 3), stride=(2, 3)),
    ConvCase("stride_1_2", (2, 4, 7, 12), (8, 3, 4), stride=(1, 2), padding=(1, 0)),
    ConvCase("stride_2_1", (2, 4, 12, 7), (8, 4, 3), stride=(2, 1), padding=(0, 1)),
    ConvCase("stride_5_kernel_11", (1, 3, 41, 43), (9, 11, 11), stride=5, padding=2),
    ConvCase("zero_batch", (0, 3, 6, 7), (4, 3, 3), padding=1),
    ConvCase("one_row", (1, 3, 1, 40), (5, 1, 3)),
    ConvCase("one_column", (1, 3, 40, 1), (5, 3, 1)),
    ConvCase("row_kernel", (1, 6, 5, 23), (7, 1, 7), padding=(0, 3)),
    ConvCase("column_kernel", (1, 6, 23, 5), (7, 7, 1), padding=(3, 0)),
    ConvCase("not_square", (2, 3, 9, 31), (6, 3, 5), padding=(1, 2)),
    ConvCase("asymmetric", (2, 3, 8, 9), (5, 3, 4), padding=((2, 0), (1, 3))),
    ConvCase("asymmetric_strided", (1, 9, 11, 10), (16, 4, 3), stride=(3, 2), padding=((0, 3), (2, 0))),
    ConvCase("same_odd", (1, 4, 7, 9), (6, 3, 5), padding="same"),
    ConvCase("same_even", (2, 4, 7, 9), (6, 2, 4), padding="same"),
    ConvCase("same_strided", (1, 4, 10, 11), (6, 3, 4), stride=(2, 3), padding="same"),
    ConvCase("same_stride_over_kernel", (1, 4, 10, 11), (6, 1, 2), stride=4, padding="same"),
    ConvCase("same_dilated", (1, 3, 9, 9), (4, 3, 3), padding="same", dilation=(2, 3)),
    ConvCase("same_lower_even", (1, 4, 7, 9), (6, 2, 4), padding="same_lower"),
    ConvCase("same_lower_strided", (2, 4, 10, 11), (6, 4, 3), stride=(3, 2), padding="same_lower"),
    ConvCase("valid", (1, 3, 6, 7), (5, 3, 3), padding="valid"),
    ConvCase("dilation_2", (1, 4, 11, 12), (9, 3, 3), padding=2, dilation=2),
    ConvCase("dilation_uneven", (2, 3, 13, 17), (5, 3, 4), padding=(1, 2), dilation=(3, 4)),
    ConvCase("dilation_strided", (1, 8, 15, 14), (12, 3, 3), stride=2, padding=2, dilation=2),
    ConvCase("dilation_stride_3_kernel_4", (1, 2, 19, 18), (6, 4, 4), stride=3, padding=3, dilation=2),
    ConvCase("dilation_beyond_input", (1, 2, 4, 4), (3, 3, 3), padding=6, dilation=6),
    ConvCase("groups_2", (2, 6, 7, 8), (8, 3, 3), padding=1, groups=2),
    ConvCase("groups_wide", (1, 64, 5, 6), (96, 3, 3), padding=1, groups=2),
    ConvCase("groups_narrow", (1, 32, 6, 7), (32, 3, 3), padding=1, groups=8),
    ConvCase("groups_odd", (2, 15, 6, 7), (25, 3, 2), stride=2, padding=1, groups=5),
    ConvCase("groups_1x1", (1, 24, 5, 5), (36, 1, 1), groups=3),
    ConvCase("groups_shrinking", (1, 32, 5, 5), (8, 3, 3), groups=4),
    ConvCase("groups_one_output", (1, 12, 5, 6), (4, 3, 3), padding=1, groups=4),
    ConvCase("depthwise", (2, 16, 9, 10), (16, 3, 3), padding=1, groups=16),
    ConvCase("depthwise_strided", (1, 33, 11, 12), (33, 3, 3), stride=2, padding=1, groups=33),
    ConvCase("depthwise_5x5", (1, 20, 12, 19), (20, 5, 5), padding=2, groups=20),
    *(
        ConvCase(f"depthwise_{k}x{k}_strided_{w}", (1, 20, 9, w), (20, k, k), stride=2, padding=k // 2, groups=20)
        for k in (5, 7)
        for w in range(2, 40, 3)
    ),
    *(
        ConvCase(f"depthwise_4x4_strided_{w}", (1, 11, 7, w), (11, 4, 4), stride=3, padding=2, groups=11)
        for w in range(4, 44, 3)
    ),
    ConvCase("depthwise_7x7_dilated", (1, 9, 16, 35), (9, 7, 7), padding="same", dilation=2, groups=9),
    ConvCase("depthwise_1x1", (1, 17, 6, 6), (17, 1, 1), groups=17),
    ConvCase("depthwise_valid_tails", (1, 15, 5, 66), (15, 3, 3), groups=15),
    ConvCase("depthwise_stride_3", (1, 5, 14, 40), (5, 2, 3), stride=3, padding=((1, 0), (0, 2)), groups=5),
    ConvCase("depthwise_one_row", (1, 8, 1, 17), (8, 3, 3), padding=1, groups=8),
    ConvCase("multiplier_2", (1, 8, 7, 8), (16, 3, 3), padding=1, groups=8),
    ConvCase("multiplier_3", (2, 7, 8, 9), (21, 3, 3), stride=2, padding=1, groups=7),
    ConvCase("multiplier_of_two_channels", (1, 2, 9, 9), (34, 5, 5), padding=2, groups=2),
    ConvCase("one_channel", (1, 1, 12, 13), (3, 3, 3), padding=1),
    ConvCase("one_channel_one_filter", (3, 1, 20, 37), (1, 5, 5), padding=2),
    ConvCase("one_filter_many_channels", (1, 40, 6, 7), (1, 3, 3), padding=1),
    ConvCase("two_channels", (1, 2, 30, 30), (12, 3, 3)),
    ConvCase("long_sum", (1, 1100, 3, 4), (5, 1, 1)),
    ConvCase("long_sum_3x3", (1, 300, 4, 5), (9, 3, 3), padding=1),
    ConvCase("long_sum_large_kernel", (1, 8, 20, 21), (4, 17, 15), padding=3),
    ConvCase("sum_at_cut_1023", (1, 1023, 2, 3), (3, 1, 1)),
    ConvCase("sum_at_cut_1024", (1, 1024, 2, 3), (3, 1, 1)),
    ConvCase("sum_at_cut_1025", (1, 1025, 2, 3), (3, 1, 1)),
    ConvCase("many_tiny_images", (37, 5, 3, 3), (6, 3, 3)),
    ConvCase("many_tiny_images_padded", (19, 16, 2, 3), (17, 3, 3), padding=1),
    ConvCase("many_single_pixels", (31, 33, 1, 1), (18, 1, 1)),
    ConvCase("few_wide_images", (3, 4, 2, 70), (5, 2, 3), padding=(0, 1)),
]

TILE_CONVS = [
    *(ConvCase(f"outputs_{k}", (1, 3, 4, 6), (k, 3, 3), padding=(0, 1)) for k in TILE_EDGES + LONG_TILE_EDGES),
    *(ConvCase(f"outputs_deep_{k}", (1, 9, 3, 4), (k, 3, 3), padding=1) for k in (1, 7, 15, 16, 17, 33, 48, 97, 130)),
    *(ConvCase(f"channels_{c}", (1, c, 3, 5), (7, 3, 3), padding=(0, 1)) for c in TILE_EDGES + LONG_TILE_EDGES),
    *(ConvCase(f"pixels_{w}", (1, 4, 1, w), (9, 1, 1)) for w in TILE_EDGES + LONG_TILE_EDGES),
    *(ConvCase(f"width_{w}", (1, 3, 3, w), (6, 3, 3), padding=1) for w in range(1, 36)),
    *(ConvCase(f"height_{h}", (1, 9, h, 5), (18, 3, 3), padding=1) for h in (1, 2, 3, 4, 5, 7, 13, 14, 15, 29)),
    *(ConvCase(f"strided_width_{w}", (1, 3, 4, w), (6, 3, 3), stride=2, padding=1) for w in range(1, 40, 3)),
    *(ConvCase(f"depthwise_{c}", (1, c, 4, 5), (c, 3, 3), padding=1, groups=c) for c in (1, 3, 4, 7, 8, 31, 32, 65)),
    *(ConvCase(f"depthwise_width_{w}", (1, 3, 3, w), (3, 3, 3), padding=1, groups=3) for w in range(1, 36, 2)),
    *(ConvCase(f"groups_of_{w}", (2, 16 * w, 7, 9), (16 * w, 3, 3), padding=1, groups=16) for w in (2, 4, 8, 16)),
    ConvCase("groups_of_4_strided", (2, 32, 9, 8), (32, 3, 2), stride=2, padding=1, dilation=(1, 2), groups=8),
    ConvCase("groups_of_4_odd", (1, 20, 5, 6), (20, 3, 3), padding=1, groups=5),
    ConvCase("many_weights_1x1", (1, 200, 3, 5), (190, 1, 1)),
    ConvCase("many_weights_3x3", (2, 70, 5, 6), (66, 3, 3), padding=1),
    ConvCase("many_weights_strided", (3, 60, 7, 8), (97, 3, 3), stride=2, padding=((1, 0), (2, 1)), dilation=(1, 2)),
    ConvCase("many_weights_groups", (1, 128, 4, 4), (130, 3, 3), padding=1, groups=2),
    *(ConvCase(f"depthwise_height_{h}", (2, 2, h, 9), (4, 5, 3), padding=(2, 1), groups=2) for h in range(1, 24)),
    ConvCase("depthwise_rows_apart", (1, 3, 19, 6), (3, 3, 3), padding=(2, 2), dilation=2, groups=3),
    ConvCase("depthwise_wider_than_the_image", (1, 4, 6, 3), (4, 3, 7), padding=(1, 3), groups=4),
    ConvCase("depthwise_boxes", (1, 2, 150, 230), (2, 3, 3), padding=1, groups=2),
    *(ConvCase(f"depthwise_valid_width_{w}", (1, 5, 3, w), (5, 2, 3), groups=5) for w in range(3, 30)),
    *(
        ConvCase(f"depthwise_left_{w}", (1, 9, 2, w), (9, 1, 5), padding=((0, 0), (4, 0)), groups=9)
        for w in range(8, 24)
    ),
    *(ConvCase(f"depthwise_strided_width_{w}", (1, 3, 4, w), (3, 3, 3), stride=2, groups=3) for w in range(3, 50, 3)),
    # Squares: two rows of 3 x 3 taps, in whole vectors and stretches of 16 pixels.
    *(ConvCase(f"squares_{w}", (1, 48, 6, w), (48, 3, 3), padding=1, groups=48) for w in (8, 9, 16, 17, 34)),
    *(
        ConvCase(f"squares_strided_{w}", (1, 48, 9, w), (48, 3, 3), stride=2, padding=1, groups=48)
        for w in (15, 16, 31, 34, 67)
    ),
    ConvCase("squares_valid", (2, 16, 7, 21), (16, 3, 3), groups=16),
    ConvCase("squares_wide_padding", (1, 16, 5, 12), (16, 3, 3), padding=2, groups=16),
    ConvCase("squares_dilated", (1, 16, 12, 40), (16, 3, 3), padding=2, dilation=2, groups=16),
    ConvCase("squares_two_rows", (1, 16, 2, 19), (16, 3, 3), padding=1, groups=16),
]

NETWORK_CONVS = [
    ConvCase("edge_filter", (1, 1, 6, 6), (1, 3, 3)),
    ConvCase("colour_same", (1, 3, 32, 32), (12, 3, 3), padding="same"),
    ConvCase("colour_40", (1, 3, 16, 18), (40, 5, 5)),
    ConvCase("lenet_c1", (2, 1, 32, 32), (6, 5, 5)),
    ConvCase("lenet_c2", (2, 6, 14, 14), (16, 5, 5)),
    ConvCase("lenet_c3", (3, 16, 5, 5), (120, 5, 5)),
    ConvCase("gray_batch", (21, 1, 11, 13), (5, 3, 3), padding=1),
    ConvCase("gray_strided", (9, 1, 20, 17), (7, 5, 3), stride=2, padding=(2, 1)),
    ConvCase("lenet_c1_padded", (1, 1, 28, 28), (6, 5, 5), padding=2),
    ConvCase("first_layer_7x7", (1, 3, 31, 33), (16, 7, 7), stride=2, padding=3),
    ConvCase("residual_3x3", (1, 32, 9, 9), (32, 3, 3), padding=1),
    ConvCase("residual_1x1", (1, 40, 7, 7), (80, 1, 1)),
    ConvCase("residual_down", (1, 32, 14, 14), (48, 1, 1), stride=2),
    ConvCase("inception_1x7", (1, 24, 8, 9), (32, 1, 7), padding=(0, 3)),
]

# More than half a million multiply-adds for each of three threads.
LARGE_CONVS = [
    ConvCase("large_channel", (1, 32, 14, 15), (32, 3, 3), padding=1),
    ConvCase("large_batch", (5, 16, 10, 10), (24, 3, 3), padding=1),
    ConvCase("large_1x1", (2, 48, 19, 18), (50, 1, 1)),
    ConvCase("large_strided", (1, 24, 29, 31), (34, 3, 3), stride=2, padding=1),
    ConvCase("large_colour", (1, 3, 37, 39), (20, 5, 5)),
    ConvCase("large_few_filters", (1, 8, 70, 66), (5, 3, 3), padding=1),
    ConvCase("large_single_channel", (5, 1, 48, 50), (7, 5, 5)),
    ConvCase("large_dilated", (1, 16, 27, 28), (17, 3, 3), padding=2, dilation=2),
    ConvCase("large_groups", (2, 32, 20, 19), (32, 3, 3), padding=1, groups=4),
    ConvCase("large_depthwise", (2, 64, 38, 40), (64, 3, 3), padding=1, groups=64),
    ConvCase("large_depthwise_strided", (2, 64, 78, 76), (64, 3, 3), stride=2, padding=1, groups=64),
    ConvCase("large_multiplier", (2, 12, 37, 38), (24, 5, 5), padding=2, groups=12),
    ConvCase("large_tiny_maps", (26, 40, 2, 2), (64, 2, 2), padding=1),
    ConvCase("large_tall_weights", (1, 512, 3, 3), (40, 3, 3), padding=1),
]

# More than one band, box, block or chunk of whatever an algorithm works through piece by piece.
PIECEWISE_CONVS = [
    ConvCase("many_taps", (1, 2, 26, 27), (3, 23, 23)),
    ConvCase("many_taps_strided", (2, 3, 29, 27), (2, 23, 24), stride=(2, 3), padding=(3, 0)),
    ConvCase("bands", (1, 64, 30, 34), (4, 3, 3), padding=1),
    ConvCase("bands_strided_dilated", (2, 40, 41, 37), (3, 3, 3), stride=2, padding=(1, 2), dilation=2),
    ConvCase("bands_of_one_row", (1, 200, 4, 150), (2, 2, 3), padding=((1, 0), (0, 2))),
    ConvCase("blocks_of_images", (5, 20, 40, 44), (2, 2, 2)),
    ConvCase("blocks_of_one_image", (2, 60, 50, 45), (2, 2, 1), padding=(1, 0)),
    ConvCase("images_by_the_hundred", (300, 2, 2, 3), (3, 2, 2)),
    ConvCase("padding_skipped", (15, 40, 7, 6), (48, 3, 3), stride=2, padding=1),
    ConvCase("padding_skipped_in_rows", (2, 24, 9, 14), (20, 3, 3), padding=6, dilation=6),
    ConvCase("turned", (12, 64, 13, 13), (48, 3, 3), stride=2, padding=1),
    ConvCase("turned_groups", (3, 128, 9, 9), (80, 3, 3), stride=2, padding=1, groups=2),
    ConvCase("turned_wide_kernel", (2, 40, 9, 10), (72, 5, 7), stride=(1, 2), padding=(2, 3)),
    ConvCase("depthwise_turned", (2, 21, 70, 66), (21, 3, 3), stride=2, padding=1, groups=21),
    ConvCase(
        "depthwise_turned_uneven", (1, 19, 75, 40), (19, 5, 4), (2, 3), ((2, 1), (0, 3)), dilation=(2, 3), groups=19
    ),
    ConvCase("depthwise_turned_past_the_image", (1, 24, 70, 40), (24, 3, 3), stride=2, padding=(60, 3), groups=24),
    ConvCase("depthwise_turned_far_apart", (1, 24, 50, 53), (24, 2, 2), stride=3, groups=24),
    ConvCase("depthwise_rows_in_parts", (2, 70, 5, 90), (70, 3, 3), padding=1, groups=70),
    ConvCase("depthwise_5x5_in_parts", (1, 37, 9, 130), (74, 5, 5), stride=(1, 2), padding=2, groups=37),
]

CONV_CASES = {case.name: case for case in EDGE_CONVS + TILE_CONVS + NETWORK_CONVS + PIECEWISE_CONVS + LARGE_CONVS}
THREADED_CONVS = [case.name for case in LARGE_CONVS]
# Small enough to move every input and every weight by itself.
GRADCHECK_CONVS = [
    "kernel_is_input",
    "padding_beyond_reach_strided",
    "stride_over_kernel",
    "stride_not_dividing",
    "asymmetric",
    "same_strided",
    "same_lower_even",
    "dilation_uneven",
    "groups_2",
    "groups_odd",
    "depthwise_one_row",
    "multiplier_3",
    "one_channel",
]


# ---------------------------------------------------------------------------------------------------------------------
# Pooling


@dataclass(frozen=True)
class PoolCase:
    """One pooling window over ``shape`` = (n, c, h, w); ``dilation`` is for maxima only."""

    name: str
    shape: tuple[int, int, int, int]
    kernel_size: Any
    stride: Any = None
    padding: Any = 0
    dilation: Any = 1
    ceil_mode: bool = False

    @property
    def max_arguments(self) -> dict[str, Any]:
        return {**self.average_arguments, "dilation": self.dilation}

    @property
    def average_arguments(self) -> dict[str, Any]:
        return {
            "kernel_size": self.kernel_size,
            "stride": self.stride,
            "padding": self.padding,
            "ceil_mode": self.ceil_mode,
        }


POOL_CASES = {
    case.name: case
    for case in (
        PoolCase("window_1", (1, 3, 4, 5), 1),
        PoolCase("window_1_strided", (2, 3, 5, 6), 1, stride=2),
        PoolCase("lenet", (2, 6, 28, 28), 2),
        PoolCase("lenet_s4", (3, 16, 10, 10), 2),
        PoolCase("half", (1, 12, 32, 32), 2),
        PoolCase("odd_rest_dropped", (1, 5, 7, 9), 2),
        PoolCase("odd_rest_kept", (1, 5, 7, 9), 2, ceil_mode=True),
        PoolCase("overlapping", (1, 9, 11, 12), 3, stride=2, padding=1),
        PoolCase("overlapping_kept", (2, 4, 10, 13), 3, stride=2, ceil_mode=True),
        PoolCase("last_window_in_padding", (1, 3, 5, 5), 2, stride=2, padding=1, ceil_mode=True),
        PoolCase("kept_one_pixel", (1, 2, 1, 1), (1, 2), ceil_mode=True),
        PoolCase("kept_window_beyond_input", (2, 3, 5, 6), (6, 7), stride=(3, 2), ceil_mode=True),
        PoolCase("kept_padded", (1, 2, 6, 7), (4, 3), stride=(3, 2), padding=(2, 1), ceil_mode=True),
        PoolCase("stride_1", (1, 7, 8, 9), 3, stride=1, padding=1),
        PoolCase("stride_over_window", (1, 3, 11, 13), 2, stride=(3, 5)),
        PoolCase("window_is_input", (2, 5, 6, 7), (6, 7)),
        PoolCase("window_not_square", (1, 4, 9, 10), (2, 5), stride=(1, 3), padding=(1, 2)),
        PoolCase("window_large", (1, 3, 20, 21), 13, stride=2, padding=6),
        PoolCase("same", (1, 3, 7, 8), 3, stride=2, padding="same"),
        PoolCase("same_even", (1, 3, 7, 8), (2, 4), stride=1, padding="same"),
        PoolCase("same_kept", (1, 3, 9, 8), 3, stride=2, padding="same", ceil_mode=True),
        PoolCase("same_lower", (1, 3, 7, 8), (2, 4), stride=(1, 3), padding="same_lower"),
        PoolCase("valid", (1, 3, 7, 8), 3, padding="valid"),
        PoolCase("asymmetric", (2, 4, 8, 9), 3, stride=2, padding=((0, 1), (1, 0))),
        PoolCase("asymmetric_kept", (1, 4, 8, 9), 3, stride=2, padding=((1, 0), (0, 1)), ceil_mode=True),
        PoolCase("dilated", (1, 5, 10, 11), 3, stride=1, padding=1, dilation=2),
        PoolCase("dilated_uneven", (2, 3, 13, 12), (2, 3), stride=(2, 1), padding=(1, 1), dilation=(3, 4)),
        PoolCase("dilated_kept", (1, 3, 12, 11), 2, stride=3, dilation=3, ceil_mode=True),
        PoolCase("one_row", (1, 3, 1, 19), (1, 3), stride=2),
        PoolCase("one_column", (1, 3, 19, 1), (3, 1), stride=2, padding=(1, 0)),
        PoolCase("zero_batch", (0, 3, 6, 7), 2),
        PoolCase("many_tiny_images", (29, 3, 2, 2), 2),
        PoolCase("channels_by_the_hundred", (1, 300, 4, 5), 2, stride=1),
        PoolCase("channels_by_the_hundred_overlapping", (2, 150, 7, 6), 3, stride=2, padding=1),
        PoolCase("wide", (1, 2, 4, 300), 3, stride=1, padding=1),
        PoolCase("wide_strided", (1, 2, 4, 300), (2, 3), stride=(1, 2), dilation=(2, 3)),
        PoolCase("large", (3, 56, 56, 58), 3, stride=2, padding=1),
        PoolCase("large_plain", (2, 64, 80, 82), 2),
        *(PoolCase(f"channels_{c}", (1, c, 4, 4), 2) for c in TILE_EDGES + LONG_TILE_EDGES),
        *(PoolCase(f"width_{w}", (1, 2, 3, w), (3, 2), stride=(1, 2), padding=1) for w in range(1, 70, 3)),
        *(PoolCase(f"width_stride_1_{w}", (1, 2, 2, w), 2, stride=1) for w in range(2, 40)),
    )
}
LARGE_POOLS = ["large", "large_plain"]
GRADCHECK_POOLS = [
    "odd_rest_kept",
    "overlapping",
    "last_window_in_padding",
    "kept_padded",
    "stride_over_window",
    "same",
    "same_lower",
    "asymmetric_kept",
    "dilated_uneven",
]

# (n, c, h, w) and what an adaptive pool makes of it.
ADAPTIVE_CASES: dict[str, tuple[tuple[int, int, int, int], Any]] = {
    "global": ((2, 5, 6, 7), 1),
    "global_large": ((2, 33, 28, 28), 1),
    "global_one_pixel": ((1, 9, 1, 1), 1),
    "dividing": ((1, 3, 8, 12), (4, 3)),
    "not_dividing": ((1, 3, 7, 10), (3, 4)),
    "overlapping": ((2, 4, 5, 5), (4, 3)),
    "identity": ((1, 3, 6, 5), (6, 5)),
    "keep_rows": ((1, 3, 6, 5), (None, 2)),
    "keep_columns": ((1, 3, 6, 5), (2, None)),
    "larger_than_input": ((1, 2, 3, 2), (7, 5)),
    "prime": ((1, 17, 13, 11), 7),
    "zero_batch": ((0, 3, 5, 5), 2),
    "large": ((3, 40, 50, 51), (6, 7)),
    **{f"channels_{c}": ((1, c, 5, 6), (2, 3)) for c in (1, 4, 7, 8, 15, 16, 17, 31, 33, 64, 65)},
    **{f"width_{w}": ((1, 2, 4, w), (3, max(w // 2, 1))) for w in range(1, 40, 3)},
}


# ---------------------------------------------------------------------------------------------------------------------
# Linear: (leading shape), in, out

LINEAR_CASES: dict[str, tuple[tuple[int, ...], int, int]] = {
    "one_number": ((1,), 1, 1),
    "vector": ((), 7, 5),
    "batch": ((4,), 16, 10),
    "leading_axes": ((2, 3, 5), 9, 6),
    "zero_rows": ((0,), 4, 3),
    "lenet_f6": ((3,), 120, 84),
    "lenet_output": ((64,), 84, 10),
    "classifier": ((5,), 784, 10),
    "long_sum": ((3,), 5000, 6),
    "sum_at_cut": ((2,), 1025, 5),
    "large": ((65,), 300, 130),
    **{f"outputs_{k}": ((2,), 5, k) for k in TILE_EDGES + LONG_TILE_EDGES},
    **{f"rows_{n}": ((n,), 6, 9) for n in TILE_EDGES + LONG_TILE_EDGES},
    **{f"inputs_{c}": ((3,), c, 7) for c in TILE_EDGES + LONG_TILE_EDGES},
}
LARGE_LINEARS = ["large"]
