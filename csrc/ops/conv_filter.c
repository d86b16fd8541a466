/* Filters: convolutions of stride 1 whose output channels see one input channel each, channels-first.
 *
 * A unit of work is a few rows of outputs of one image and channel. Columns whose taps all lie inside the image are
 * computed from the image itself, those near its left and right edge from a small padded copy; a row above or below
 * it is a row of zeros.
 *
 * A filter that is the outer product of a column and a row, within rounding, runs in two passes: the column over the
 * unit's input, into rows that stay in L1, then the row over these. Whether it is one is found when the weights are
 * packed, and is written in front of them:
 *
 *   packed[output channel]   separable (1 or 0), column [kernel rows], row [kernel columns], weights [rows][columns]
 */
#include "conv.h"
#include "parallel.h"

#include <math.h>
#include <string.h>

/* A filter of fewer taps is no faster in two passes; with more output channels than MOST_CHANNELS for each input
 * channel the plane family's tiles share more loads; groups, of which each pays for its edges, are worth it where
 * images are wide. */
enum { LEAST_SEPARABLE = 20, MOST_CHANNELS = 2, WIDE = 64 };

/* Results of so many bytes go to memory past the caches, which would read every line of them first and keep but the
 * last part for whoever reads them. */
enum { STREAMED = 16 << 20 };

typedef struct {
    char *edge;                   /* rows of padded input under some columns */
    char *lines;                  /* what the first of two passes leaves, padded left and right */
    char *zeros;                  /* a row of the image */
    const void **rows;            /* of input, under the unit */
    ptrdiff_t edge_columns, line; /* elements of a row of either */
} workspace;

typedef struct {
    const fc_conv_call *call;
    fc_phase phase;
    workspace at;
    fc_window inner;                        /* the columns that are computed from the image itself */
    ptrdiff_t image, channel, first, count; /* rows first … first + count */
} unit;

bool fc_filter_serves(const fc_conv_desc *desc)
{
    const fc_channels channels = fc_conv_channels(desc);
    if (desc->direction == FC_BACKWARD_WEIGHT || channels.ic != 1 || fc_phases(desc) != 1)
        return false;
    fc_phase phase;
    fc_phase_at(desc, 0, &phase);
    const fc_axis *axis = phase.axis;
    if (axis[0].src != 1 || axis[0].count != 1 || axis[0].taps != 1 || axis[0].offset_first != 0)
        return false;
    for (int a = 1; a < FC_SPATIAL; a++)
        if (axis[a].src_step != 1 || axis[a].dst_step != 1 || axis[a].offset_step != 1 || axis[a].taps < 1)
            return false;
    if (channels.groups > 1 && (phase.taps < LEAST_SEPARABLE || axis[2].count < WIDE))
        return false;
    return channels.oc <= MOST_CHANNELS && phase.taps > 1 && axis[2].taps <= FC_SUM_LENGTH;
}

static ptrdiff_t packed_channel(const fc_phase *phase)
{
    return 1 + phase->axis[1].taps + phase->axis[2].taps + phase->taps;
}

static ptrdiff_t parts_of(const fc_phase *phase)
{
    return fc_divide_up(phase->axis[1].taps, FC_SUM_LENGTH / phase->axis[2].taps);
}

/* Whole vectors of columns inside, so that what is stored stays aligned with the image's rows. */
static fc_window inner_columns(const fc_axis *axis, ptrdiff_t lanes)
{
    const ptrdiff_t begin = fc_valid(axis, axis->offset_first).begin;
    const ptrdiff_t end = fc_valid(axis, axis->offset_first + axis->taps - 1).end;
    fc_window inner = {fc_min(fc_divide_up(begin, lanes) * lanes, axis->count), end};
    if (end < axis->count)
        inner.end = inner.begin + fc_max_extent(end - inner.begin, 0) / lanes * lanes;
    if (inner.end <= inner.begin)
        inner.begin = inner.end = axis->count;
    return inner;
}

static void lay_out(const fc_conv_plan *plan, const fc_phase *phase, fc_arena *arena, workspace *at)
{
    const size_t element = fc_element(&plan->desc);
    const fc_axis *height = &phase->axis[1], *width = &phase->axis[2];
    const ptrdiff_t rows = height->taps + plan->rows - 1;
    const fc_window inner = inner_columns(width, plan->lanes);
    at->edge_columns = fc_max_extent(inner.begin, width->count - inner.end) + width->taps - 1;
    at->line = fc_divide_up(width->count + width->taps - 1, plan->lanes) * plan->lanes + plan->lanes;
    at->edge = fc_carve(arena, fc_saturate(rows, at->edge_columns), element);
    at->lines = fc_carve(arena, fc_saturate(plan->rows, at->line), element);
    at->zeros = fc_carve(arena, width->src, element);
    at->rows = fc_carve(arena, rows, sizeof(void *));
}

fc_status fc_plan_filter(fc_conv_plan *plan)
{
    fc_phase phase;
    fc_phase_at(&plan->desc, 0, &phase);
    const ptrdiff_t kernel_rows = phase.axis[1].taps;
    /* each partial sum has at least as many kernel rows as a tile has rows */
    plan->rows = (int)fc_min(FC_FILTER_ROWS, kernel_rows / parts_of(&phase));
    plan->vectors = fc_kernels_for(plan->desc.isa, plan->desc.dtype)->conv->filter_vectors;
    plan->tile[0] = 1;
    plan->tile[1] = plan->rows;
    plan->tile[2] = phase.axis[2].count;
    ptrdiff_t elements;
    if (!fc_multiply(packed_channel(&phase), fc_conv_channels(&plan->desc).dst_channels, &elements))
        return FC_OVERFLOW;
    fc_arena packed = {.fits = true}, arena = {.fits = true};
    fc_carve(&packed, elements, fc_element(&plan->desc));
    plan->packed_bytes = packed.used;
    workspace at;
    lay_out(plan, &phase, &arena, &at);
    return packed.fits ? fc_set_workspace(plan, &arena) : FC_OVERFLOW;
}

/* ---- packing ---------------------------------------------------------------------------------------------- */

static double get(fc_dtype dtype, const void *p, ptrdiff_t i)
{
    return dtype == FC_F32 ? (double)((const float *)p)[i] : ((const double *)p)[i];
}

static void put(fc_dtype dtype, void *p, ptrdiff_t i, double value)
{
    if (dtype == FC_F32)
        ((float *)p)[i] = (float)value;
    else
        ((double *)p)[i] = value;
}

/* column = weights' column through `pivot`, over the pivot; row = weights' row through it. Whether every product of the
 * two is its weight, give or take `rounding` of it; false where something is not a number. */
static bool separate_at(fc_dtype dtype, const void *weights, ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t pivot,
                        double rounding, void *column, void *row)
{
    const double value = get(dtype, weights, pivot);
    for (ptrdiff_t i = 0; i < rows; i++)
        put(dtype, column, i, get(dtype, weights, i * columns + pivot % columns) / value);
    for (ptrdiff_t j = 0; j < columns; j++)
        put(dtype, row, j, get(dtype, weights, pivot / columns * columns + j));
    for (ptrdiff_t i = 0; i < rows * columns; i++) {
        const double weight = get(dtype, weights, i);
        const double product = get(dtype, column, i / columns) * get(dtype, row, i % columns);
        if (!(fabs(product - weight) <= rounding * fabs(weight)))
            return false;
    }
    return true;
}

/* The column to at most 1 and the row to what it loses, by a power of two, which rounds nothing: the first pass cannot
 * overflow then where the sum would not. */
static void shrink(fc_dtype dtype, ptrdiff_t rows, ptrdiff_t columns, void *column, void *row)
{
    int most = 0, exponent;
    for (ptrdiff_t i = 0; i < rows; i++) {
        frexp(get(dtype, column, i), &exponent);
        most = exponent > most ? exponent : most;
    }
    for (ptrdiff_t i = 0; i < rows; i++)
        put(dtype, column, i, ldexp(get(dtype, column, i), -most));
    for (ptrdiff_t j = 0; j < columns; j++)
        put(dtype, row, j, ldexp(get(dtype, row, j), most));
}

/* Whether weights = column x row, each product within a few roundings of its weight. Small integers are best taken
 * apart at the least of them, which divides the others if anything does and so leaves integers; otherwise at the
 * largest: the column is at most 1 then, and the first pass cannot overflow where the sum would not. */
static bool separate(fc_dtype dtype, const void *weights, ptrdiff_t rows, ptrdiff_t columns, void *column, void *row)
{
    const double rounding = 8 * (dtype == FC_F32 ? 0x1p-23 : 0x1p-52), small = 0x1p12;
    ptrdiff_t largest = 0, least = 0;
    for (ptrdiff_t i = 1; i < rows * columns; i++) {
        const double size = fabs(get(dtype, weights, i));
        if (size > fabs(get(dtype, weights, largest)))
            largest = i;
        if (size > 0 && (size < fabs(get(dtype, weights, least)) || get(dtype, weights, least) == 0))
            least = i;
    }
    const double ratio = fabs(get(dtype, weights, largest) / get(dtype, weights, least));
    if (ratio <= small && separate_at(dtype, weights, rows, columns, least, 0, column, row)) {
        shrink(dtype, rows, columns, column, row);
        return true;
    }
    return separate_at(dtype, weights, rows, columns, largest, rounding, column, row);
}

void fc_pack_filter(const fc_conv_plan *plan, const void *weights, const ptrdiff_t strides[2 + FC_SPATIAL],
                    void *packed)
{
    const fc_conv_desc *desc = &plan->desc;
    const fc_channels channels = fc_conv_channels(desc);
    const size_t element = fc_element(desc);
    fc_phase phase;
    fc_phase_at(desc, 0, &phase);
    const ptrdiff_t rows = phase.axis[1].taps, columns = phase.axis[2].taps;
    const bool may_separate = rows > 1 && columns > 1 && phase.taps >= LEAST_SEPARABLE && desc->algorithm == FC_AUTO &&
                              desc->precision != FC_HIGHEST;
    const bool backward = desc->direction == FC_BACKWARD_INPUT;
    for (ptrdiff_t c = 0; c < channels.dst_channels; c++) {
        char *const column = (char *)packed + element, *const row = column + (size_t)rows * element;
        char *const taps = row + (size_t)columns * element;
        const ptrdiff_t o = backward ? c / channels.oc : c, i = backward ? c % channels.oc : 0;
        for (ptrdiff_t t = 0; t < phase.taps; t++) {
            const fc_axis *height = &phase.axis[1], *width = &phase.axis[2];
            const ptrdiff_t y = height->kernel_first + t / columns * height->kernel_step;
            const ptrdiff_t x = width->kernel_first + t % columns * width->kernel_step;
            const ptrdiff_t z = phase.axis[0].kernel_first; /* a gradient may have one of several taps left */
            const ptrdiff_t at = o * strides[0] + i * strides[1] + z * strides[2] + y * strides[3] + x * strides[4];
            memcpy(taps + (size_t)t * element, (const char *)weights + at * (ptrdiff_t)element, element);
        }
        put(desc->dtype, packed, 0, may_separate && separate(desc->dtype, taps, rows, columns, column, row));
        packed = (char *)packed + (size_t)packed_channel(&phase) * element;
    }
}

/* ---- running ---------------------------------------------------------------------------------------------- */

static const char *plane_of(const unit *s)
{
    const fc_channels *channels = &s->call->channels;
    const ptrdiff_t plane = s->image * channels->src_channels + s->channel / channels->oc;
    return s->call->src + (size_t)(plane * s->phase.axis[1].src * s->phase.axis[2].src) * s->call->element;
}

/* The unit's rows of input, from `column` on. */
static void find_rows(const unit *s, const char *plane, ptrdiff_t column)
{
    const fc_axis *height = &s->phase.axis[1], *width = &s->phase.axis[2];
    for (ptrdiff_t i = 0; i < height->taps + s->count - 1; i++) {
        const ptrdiff_t row = s->first + i + height->offset_first;
        const bool inside = (size_t)row < (size_t)height->src;
        s->at.rows[i] = inside ? plane + (size_t)(row * width->src + column) * s->call->element : s->at.zeros;
    }
}

/* Columns [begin, end) of the unit, from rows of input that s->at.rows point at, and where their results belong. */
static fc_filter results_of(const unit *s, ptrdiff_t begin, ptrdiff_t end)
{
    const fc_conv_call *call = s->call;
    const fc_axis *height = &s->phase.axis[1], *width = &s->phase.axis[2];
    const ptrdiff_t plane = s->image * call->channels.dst_channels + s->channel;
    const size_t at = (size_t)((plane * height->dst + s->first) * width->dst + begin) * call->element;
    const size_t bytes = (size_t)(call->n * call->channels.dst_channels * height->dst * width->dst) * call->element;
    return (fc_filter){
        .src = s->at.rows,
        .rows = (int)s->count,
        .columns = end - begin,
        .kernel_rows = height->taps,
        .taps = width->taps,
        .parts = parts_of(&s->phase),
        .bias = call->bias ? call->bias + (size_t)s->channel * call->element : NULL,
        .residual = call->residual ? call->residual + at : NULL,
        .dst = call->dst + at,
        .dst_pitch = width->dst,
        .epilogue = &call->epilogue,
        .streams = call->epilogue.activation == FC_IDENTITY && bytes >= STREAMED,
    };
}

/* Columns at an edge, from a padded copy of the input under them. */
static void run_edge(const unit *s, const char *weights, ptrdiff_t begin, ptrdiff_t end)
{
    if (begin >= end)
        return;
    const fc_axis *height = &s->phase.axis[1], *width = &s->phase.axis[2];
    const ptrdiff_t rows = height->taps + s->count - 1, columns = end - begin + width->taps - 1;
    s->call->kernels->conv->copy_rectangle(&(fc_rectangle){
        .src = plane_of(s),
        .src_rows = height->src,
        .src_cols = width->src,
        .src_pitch = width->src,
        .row_first = s->first + height->offset_first,
        .row_step = 1,
        .rows = rows,
        .col_first = begin + width->offset_first,
        .col_step = 1,
        .cols = columns,
        .dst = s->at.edge,
    });
    for (ptrdiff_t i = 0; i < rows; i++)
        s->at.rows[i] = s->at.edge + (size_t)(i * columns) * s->call->element;
    fc_filter filter = results_of(s, begin, end);
    filter.weights = weights;
    s->call->kernels->conv->filter(&filter);
}

static void run_direct(const unit *s, const char *weights)
{
    run_edge(s, weights, 0, s->inner.begin);
    run_edge(s, weights, s->inner.end, s->phase.axis[2].count);
    if (s->inner.begin >= s->inner.end)
        return;
    find_rows(s, plane_of(s), s->inner.begin + s->phase.axis[2].offset_first);
    fc_filter filter = results_of(s, s->inner.begin, s->inner.end);
    filter.weights = weights;
    s->call->kernels->conv->filter(&filter);
}

static void run_separable(const unit *s, const char *column, const char *row)
{
    const fc_conv_call *call = s->call;
    const fc_axis *width = &s->phase.axis[2];
    const fc_epilogue none = {FC_IDENTITY, 0, 0};
    const ptrdiff_t before = fc_max_extent(-width->offset_first, 0); /* zeros in front of a line */
    const ptrdiff_t begin = fc_max_extent(width->offset_first, 0);
    find_rows(s, plane_of(s), begin);
    fc_filter filter = results_of(s, 0, width->count);
    filter.columns = fc_min(width->src - begin, width->count + width->taps - 1 - before);
    filter.taps = 1;
    filter.parts = fc_divide_up(filter.kernel_rows, FC_SUM_LENGTH);
    filter.weights = column;
    filter.bias = filter.residual = NULL;
    filter.epilogue = &none;
    filter.streams = false;
    filter.dst = s->at.lines + (size_t)before * call->element;
    filter.dst_pitch = s->at.line;
    if (filter.columns > 0)
        call->kernels->conv->filter(&filter);
    for (ptrdiff_t r = 0; r < s->count; r++) {
        unit one = *s;
        one.first += r;
        one.count = 1;
        s->at.rows[0] = s->at.lines + (size_t)(r * s->at.line) * call->element;
        filter = results_of(&one, 0, width->count);
        filter.kernel_rows = filter.parts = 1;
        filter.weights = row;
        call->kernels->conv->filter(&filter);
    }
}

/* Units of work: (image, output channel, some rows). */
void fc_conv_filter(const void *context, fc_part part)
{
    const fc_conv_call *call = context;
    const fc_conv_plan *plan = call->plan;
    unit s = {.call = call};
    fc_phase_at(&plan->desc, 0, &s.phase);
    fc_arena arena = fc_thread_arena(call, part.thread);
    lay_out(plan, &s.phase, &arena, &s.at);
    s.inner = inner_columns(&s.phase.axis[2], plan->lanes);
    memset(s.at.lines, 0, (size_t)(plan->rows * s.at.line) * call->element);
    memset(s.at.zeros, 0, (size_t)s.phase.axis[2].src * call->element);
    const ptrdiff_t bands = fc_divide_up(s.phase.axis[1].count, plan->rows);
    ptrdiff_t begin, end;
    fc_share_of(call->n * call->channels.dst_channels * bands, part, &begin, &end);
    for (ptrdiff_t i = begin; i < end; i++) {
        s.first = i % bands * plan->rows;
        s.count = fc_min(plan->rows, s.phase.axis[1].count - s.first);
        s.channel = i / bands % call->channels.dst_channels;
        s.image = i / bands / call->channels.dst_channels;
        const char *packed = call->packed + (size_t)(s.channel * packed_channel(&s.phase)) * call->element;
        const char *column = packed + call->element, *row = column + (size_t)s.phase.axis[1].taps * call->element;
        if (get(plan->desc.dtype, packed, 0) != 0)
            run_separable(&s, column, row);
        else
            run_direct(&s, row + (size_t)s.phase.axis[2].taps * call->element);
    }
}
