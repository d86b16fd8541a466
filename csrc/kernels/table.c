/* Everything that this (ISA, dtype) offers, in one constant table. */
#include "dispatch/kernels.h"
#include "tiles.h"

extern fc_channel_fn *const FC_NAME(conv_channel)[FC_MAX_VECTORS + 1][FC_MAX_ROWS + 1];
extern fc_plane_fn *const FC_NAME(conv_plane)[FC_MAX_VECTORS + 1][FC_MAX_ROWS + 1];
extern fc_channel_fn *const FC_NAME(conv_groups)[FC_MAX_GROUP + 1][FC_GROUP_ROWS + 1];
extern fc_weight_grad_fn *const FC_NAME(conv_weight_grad)[FC_MAX_VECTORS + 1][FC_MAX_ROWS + 1];
extern fc_planes_grad_fn *const FC_NAME(planes_weight_grad)[FC_MAX_VECTORS + 1][FC_MAX_ROWS + 1];
extern fc_depthwise_grad_fn *const FC_NAME(depthwise_weight_grad)[FC_MAX_ROWS + 1];
extern fc_multiply_adds_fn FC_NAME(multiply_adds);
extern const struct fc_conv_kernels FC_NAME(conv);
extern const struct fc_winograd_kernels FC_NAME(winograd);
extern const struct fc_pool_kernels FC_NAME(pool);
extern const struct fc_pointwise_kernels FC_NAME(pointwise);
extern const struct fc_norm_kernels FC_NAME(norm);
extern const struct fc_lanes_kernels FC_NAME(lanes);
extern const struct fc_update_kernels FC_NAME(update);
extern const struct fc_line_kernels FC_NAME(lines_of_samples);
extern const fc_kernels FC_NAME(kernels);

/* The list ascends, so a later entry replaces an earlier one of the same vectors. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init"
#define LARGEST(v, r) [v] = r,

const fc_kernels FC_NAME(kernels) = {
    .lanes = FC_LANES,
    .max_rows = {FC_TILES(LARGEST)},
    .channel = FC_NAME(conv_channel),
    .plane = FC_NAME(conv_plane),
    .groups = FC_NAME(conv_groups),
    .weight_grad = FC_NAME(conv_weight_grad),
    .planes_weight_grad = FC_NAME(planes_weight_grad),
    .depthwise_weight_grad = FC_NAME(depthwise_weight_grad),
    .multiply_adds = FC_NAME(multiply_adds),
    .conv = &FC_NAME(conv),
    .winograd = &FC_NAME(winograd),
    .pool = &FC_NAME(pool),
    .pointwise = &FC_NAME(pointwise),
    .norm = &FC_NAME(norm),
    .lanes_kernels = &FC_NAME(lanes),
    .update = &FC_NAME(update),
    .lines = &FC_NAME(lines_of_samples),
};
#pragma GCC diagnostic pop
