/* The depthwise family, channels-last: two output rows at a time, so that the rows of input that both read are loaded
 * once. Borders are the kernel's business: it is told which columns exist, and rows that do not are left out, unless a
 * weight is not finite: zero times such a weight is not zero, and they are rows of zeros then.
 *
 * With a stride s and a dilation d of greatest common divisor g, positions that lie d / g apart form a convolution of
 * stride s / g without dilation, along either axis: such rows make pairs, and such pixels a row of their own. */
#include "conv.h"
#include "parallel.h"

#include <string.h>

typedef struct {
    fc_depthwise_line *lines;
    void *partial, *zeros; /* zeros: a row of input */
} workspace;

static void lay_out(const fc_conv_plan *plan, fc_arena *arena, workspace *at)
{
    const ptrdiff_t *kernel = plan->desc.kernel;
    at->lines = fc_carve(arena, fc_saturate(2 * kernel[0], kernel[1]), sizeof(fc_depthwise_line));
    at->partial = fc_carve(arena, 2 * plan->rows * plan->lanes, fc_element(&plan->desc));
    fc_phase phase;
    fc_phase_at(&plan->desc, 0, &phase);
    at->zeros = fc_carve(arena, fc_saturate(phase.axis[2].src, fc_conv_channels(&plan->desc).src_channels),
                         fc_element(&plan->desc));
}

fc_status fc_plan_depthwise(fc_conv_plan *plan)
{
    plan->vectors = 1;
    plan->rows = 8;
    plan->tile[0] = 1;
    plan->tile[1] = 2;
    plan->tile[2] = 8;
    fc_arena arena = {.fits = true};
    workspace at;
    lay_out(plan, &arena, &at);
    if (!fc_reserve_packed(plan))
        return FC_OVERFLOW;
    fc_reserve_mark(plan);
    return fc_set_workspace(plan, &arena);
}

/* One axis cut into classes of positions `apart` from each other; taps are `ratio` steps apart from one to the next. */
typedef struct {
    ptrdiff_t apart, ratio;
} classes;

static classes classes_of(const fc_axis *axis)
{
    if (axis->taps < 2) /* no dilation: one step is whatever the stride is */
        return (classes){1, 1};
    ptrdiff_t a = axis->src_step, b = axis->offset_step;
    while (b != 0) {
        const ptrdiff_t rest = a % b;
        a = b;
        b = rest;
    }
    return (classes){axis->offset_step / a, axis->src_step / a};
}

typedef struct {
    const fc_conv_call *call;
    const fc_phase *phase;
    const char *packed;
    workspace at;
    classes rows, columns;
    ptrdiff_t pairs;           /* of rows, of one depth */
    ptrdiff_t image, place[2]; /* of the first output row, in the phase's own grid */
    ptrdiff_t channel, channels;
    bool finite;    /* all weights */
    ptrdiff_t line; /* the first row of input that is listed, of those under the output rows */
} row_pair;

/* Lists the rows of input under both output rows, or the one; returns their number. */
static ptrdiff_t list_lines(row_pair *s, int rows)
{
    const fc_conv_call *call = s->call;
    const fc_axis *axis = s->phase->axis;
    const ptrdiff_t channels = call->channels.src_channels, pitch = axis[2].taps * call->plan->lanes;
    const ptrdiff_t taps = axis[1].taps, later = fc_min(s->rows.ratio, taps);
    ptrdiff_t count = 0;
    for (ptrdiff_t d = 0; d < axis[0].taps; d++) {
        const ptrdiff_t depth = s->place[0] * axis[0].src_step + axis[0].offset_first + d * axis[0].offset_step;
        const bool above = depth < 0 || depth >= axis[0].src;
        if (above && s->finite)
            continue;
        const ptrdiff_t weights = s->channel * s->phase->taps + d * taps * pitch;
        for (ptrdiff_t h = 0; h < taps + (rows - 1) * later; h++) {
            /* past the first row's taps, those of the second */
            const bool second = h >= taps;
            const ptrdiff_t y = s->place[1] + (second ? s->rows.apart : 0), tap = second ? h - later : h;
            const ptrdiff_t row = y * axis[1].src_step + axis[1].offset_first + tap * axis[1].offset_step;
            const bool outside = above || row < 0 || row >= axis[1].src;
            if (outside && s->finite)
                continue;
            const ptrdiff_t at = ((s->image * axis[0].src + depth) * axis[1].src + row) * axis[2].src * channels;
            if (count == 0)
                s->line = h;
            const char *const first = s->packed + (size_t)(weights + h * pitch) * call->element;
            s->at.lines[count++] = (fc_depthwise_line){
                .src = outside ? s->at.zeros : call->src + (size_t)(at + s->channel) * call->element,
                .weights = {second ? NULL : first,
                            rows == 2 && h >= later ? first - (size_t)(later * pitch) * call->element : NULL},
            };
        }
    }
    return count;
}

/* Whether the lines of input and output of a stretch of pixels, so many bytes apart, push each other out of a first
 * cache of 8 ways of 4 KB: squares then cost more than they save (128 channels at 28 x 28, 43 us by blocks, 48 by
 * squares; 144 channels 47 and 42). */
static bool collide(ptrdiff_t apart, ptrdiff_t ratio)
{
    enum { LINE = 64, WAY = 4096, WAYS = 8 };
    const ptrdiff_t power = apart & -apart, repeats = power < LINE ? LINE : fc_min(power, WAY);
    return ((FC_STRETCH - 1) * ratio + 3) * (3 + ratio) + 2 * FC_STRETCH > WAY / repeats * WAYS;
}

/* Nothing here depends on the channels of a part: bits would, on how many threads there are. */
static fc_depthwise_fn *kernel_for(const row_pair *s, const fc_depthwise_rows *rows)
{
    enum { FEWEST_PIXELS = 8 };
    const fc_conv_call *call = s->call;
    const fc_axis *axis = s->phase->axis;
    const ptrdiff_t ratio = rows->ratio;
    const bool square = axis[0].taps == 1 && axis[1].taps == 3 && axis[2].taps == 3 && s->rows.ratio == ratio,
               whole = call->channels.src_channels % call->plan->lanes == 0;
    if (square && ratio <= 2 && whole && s->finite && rows->rows == 2 && rows->count >= 2 + ratio &&
        rows->pixels >= FEWEST_PIXELS && !collide(rows->step * (ptrdiff_t)call->element, ratio) &&
        call->kernels->conv->depthwise_squares)
        return call->kernels->conv->depthwise_squares;
    return call->kernels->conv->depthwise;
}

/* The pixels first, first + apart, … of the rows. */
static void run_pixels(const row_pair *s, int rows, ptrdiff_t lines, ptrdiff_t first)
{
    const fc_conv_call *call = s->call;
    const fc_axis *axis = s->phase->axis;
    const ptrdiff_t channels = call->channels.src_channels, row = axis[2].dst * channels;
    const ptrdiff_t column = first * axis[2].src_step + axis[2].offset_first;
    const ptrdiff_t unit = axis[2].taps < 2 ? axis[2].src_step : axis[2].offset_step;
    ptrdiff_t at = s->image;
    at = at * axis[0].dst + axis[0].dst_first + s->place[0] * axis[0].dst_step;
    at = at * axis[1].dst + axis[1].dst_first + s->place[1] * axis[1].dst_step;
    at = at * axis[2].dst + axis[2].dst_first + first * axis[2].dst_step;
    const size_t bytes = (size_t)(at * channels + s->channel) * call->element;
    const fc_depthwise_rows whole = {
        .lines = s->at.lines,
        .count = axis[2].taps > 0 ? lines : 0,
        .line = s->line,
        .together = fc_max_extent(FC_SUM_LENGTH / fc_max_extent(axis[2].taps, 1), 1),
        .taps = axis[2].taps,
        .all_taps = s->phase->taps,
        .ratio = s->columns.ratio,
        .first = column * channels,
        .step = unit * channels,
        .low = column < 0 ? fc_divide_up(-column, unit) : 0,
        .high = column < axis[2].src ? fc_divide_up(axis[2].src - column, unit) : 0,
        .rows = rows,
        .pixels = fc_divide_up(axis[2].count - first, s->columns.apart),
        .channels = s->channels,
        .dst_step = s->columns.apart * axis[2].dst_step * channels,
        .dst_row = s->rows.apart * axis[1].dst_step * row,
        .bias = call->bias ? call->bias + (size_t)s->channel * call->element : NULL,
        .residual = call->residual ? call->residual + bytes : NULL,
        .dst = call->dst + bytes,
        .partial = s->at.partial,
        .epilogue = &call->epilogue,
    };
    kernel_for(s, &whole)(&whole);
}

/* Pairs of rows of one class, class by class, then the rows that are left over; `pair` is the number of one. */
static int find_pair(const fc_axis *axis, const classes *rows, ptrdiff_t pair, ptrdiff_t *first)
{
    const ptrdiff_t apart = rows->apart;
    *first = pair / apart * 2 * apart + pair % apart;
    return *first + apart < axis->count ? 2 : 1;
}

static ptrdiff_t pairs_of(const fc_axis *axis, const classes *rows)
{
    const ptrdiff_t both = 2 * rows->apart;
    return axis->count / both * rows->apart + fc_min(axis->count % both, rows->apart);
}

static void run_unit(row_pair *s, ptrdiff_t pair)
{
    const int rows = find_pair(&s->phase->axis[1], &s->rows, pair, &s->place[1]);
    const ptrdiff_t lines = list_lines(s, rows);
    for (ptrdiff_t first = 0; first < fc_min(s->columns.apart, s->phase->axis[2].count); first++)
        run_pixels(s, rows, lines, first);
}

/* Few bands of rows are cut into parts of the channels, whole vectors each, so that threads get equal shares. A share
 * is whole bands but for its first and its last: two threads that write beside each other on every row fetch each
 * other's lines (28 x 28 x 256, 2 threads: 91 us by halves of the channels, now 52). */
static ptrdiff_t channel_parts(const fc_conv_call *call, ptrdiff_t bands, int threads)
{
    enum { ENOUGH = 8 };
    if (bands >= (ptrdiff_t)threads * ENOUGH)
        return 1;
    return fc_min(threads, fc_divide_up(call->channels.src_channels, call->plan->lanes));
}

static void enter_phase(row_pair *s, ptrdiff_t index, fc_phase *phase)
{
    fc_phase_at(&s->call->plan->desc, index, phase);
    s->phase = phase;
    s->rows = classes_of(&phase->axis[1]);
    s->columns = classes_of(&phase->axis[2]);
    s->pairs = pairs_of(&phase->axis[1], &s->rows);
}

/* A band of rows of one image and some channels: of all phases in turn, so that what they read and write together stays
 * in cache (112 x 112 x 96 at stride 2, gradient of the input: 1,000 us phase by phase, now 350). */
static void run_band(row_pair *s, ptrdiff_t band, ptrdiff_t bands, fc_phase *phase)
{
    const fc_conv_call *call = s->call;
    const ptrdiff_t phases = fc_phases(&call->plan->desc);
    s->packed = call->packed;
    for (ptrdiff_t i = 0; i < phases; i++) {
        ptrdiff_t first, last;
        if (phases > 1)
            enter_phase(s, i, phase);
        fc_share(phase->axis[0].count * s->pairs, band, bands, &first, &last);
        for (ptrdiff_t pair = first; pair < last; pair++) {
            s->place[0] = pair / s->pairs;
            run_unit(s, pair % s->pairs);
        }
        s->packed += (size_t)fc_packed_size(call->plan, phase) * call->element;
    }
}

void fc_conv_depthwise(const void *context, fc_part part)
{
    enum { BAND = 2 }; /* pairs of rows of a phase */
    const fc_conv_call *call = context;
    const fc_conv_plan *plan = call->plan;
    fc_arena arena = fc_thread_arena(call, part.thread);
    row_pair s = {.call = call};
    lay_out(plan, &arena, &s.at);
    s.finite = fc_marked_finite(plan, call->packed);
    fc_phase phase;
    enter_phase(&s, 0, &phase);
    if (!s.finite)
        memset(s.at.zeros, 0, (size_t)(phase.axis[2].src * call->channels.src_channels) * call->element);
    const ptrdiff_t rows = fc_max_extent(phase.axis[0].count * s.pairs, 1);
    const ptrdiff_t bands = fc_phases(&plan->desc) == 1 ? rows : fc_divide_up(rows, BAND);
    const ptrdiff_t channels = call->channels.src_channels, vectors = fc_divide_up(channels, plan->lanes);
    const ptrdiff_t parts = channel_parts(call, call->n * bands, part.shares);
    ptrdiff_t begin, end;
    fc_share_of(call->n * bands * parts, part, &begin, &end);
    while (begin < end) {
        const ptrdiff_t band = begin / parts, from = begin % parts, to = fc_min(end - band * parts, parts);
        ptrdiff_t first, last, none;
        fc_share(vectors, from, parts, &first, &none);
        fc_share(vectors, to - 1, parts, &none, &last);
        s.channel = first * plan->lanes;
        s.channels = fc_min(last * plan->lanes, channels) - s.channel;
        s.image = band / bands;
        run_band(&s, band % bands, bands, &phase);
        begin = band * parts + to;
    }
}
