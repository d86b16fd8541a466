/* Plans of the plane family: what form its input takes, the register tile, the box of a unit of work. */
#include "images.h"
#include "plane.h"

/* What a thread keeps stays well inside the L2 of every processor since 2017 (half a megabyte and more), and a
 * panel's block inside L1. */
enum { BAND_BYTES = 160 * 1024, ACC_BYTES = 192 * 1024, PANEL_PRODUCTS = 256, LONG_LINE = 768 };

fc_band fc_plane_band(const fc_conv_plan *plan, const fc_phase *phase, const ptrdiff_t box[FC_SPATIAL])
{
    return fc_band_of(phase, box, plan->form == FC_PLANE_COLUMNS);
}

ptrdiff_t fc_plane_line(fc_plane_form form, const fc_band *band, const ptrdiff_t box[FC_SPATIAL])
{
    if (form == FC_PLANE_PANELS)
        return box[0] * box[1] * box[2];
    return ((box[0] - 1) * band->axis[1].length + box[1] - 1) * band->axis[2].length + box[2];
}

int fc_plane_narrow(const fc_kernels *kernels, int vectors, int rows, ptrdiff_t count)
{
    for (int v = (int)fc_divide_up(count, kernels->lanes); v < vectors; v++)
        if (rows <= kernels->max_rows[v])
            return v;
    return vectors;
}

static ptrdiff_t input_channels(const fc_conv_plan *plan) { return fc_conv_channels(&plan->desc).ic; }

static ptrdiff_t most_taps(const fc_conv_plan *plan)
{
    const ptrdiff_t *kernel = plan->desc.kernel;
    return kernel[0] * kernel[1] * kernel[2];
}

/* Channels that are taken together: equal blocks of about `products`. */
static ptrdiff_t block_of(const fc_conv_plan *plan, const fc_phase *phase, ptrdiff_t products)
{
    const ptrdiff_t channels = input_channels(plan);
    const ptrdiff_t most = fc_max_extent(products / fc_max_extent(phase->taps, 1), 1);
    return fc_divide_up(channels, fc_divide_up(channels, most));
}

/* The form whose work for one image is least, in cycles of a processor with two multiply-add and two load units: a
 * vector that crosses cache lines, as those of a band do, costs 1.15 in a tile; one that is copied costs three, and
 * every row of them ten; one that is stored costs ten. */
static fc_plane_form choose_form(const fc_conv_plan *plan, const fc_phase *phase, double *cost)
{
    const fc_axis *axis = phase->axis;
    const ptrdiff_t box[FC_SPATIAL] = {axis[0].count, axis[1].count, axis[2].count};
    const double lanes = plan->lanes, channels = (double)input_channels(plan);
    const double products = channels * (double)phase->taps, rows = (double)fc_conv_channels(&plan->desc).oc / 2;
    const fc_band shared = fc_band_of(phase, box, false), columns = fc_band_of(phase, box, true);
    const double copy = 3, row = 10;
    const double shared_copy =
        plan->flat ? 0 : channels * (double)shared.channel * (copy / lanes + row / (double)shared.axis[2].length);
    const double columns_copy = channels * (double)columns.channel * (copy / lanes + row / (double)axis[2].count);
    const double compact = (double)fc_divide_up(phase->count, plan->lanes);
    const double shared_line = (double)fc_divide_up(fc_plane_line(FC_PLANE_SHARED, &shared, box), plan->lanes);
    const double by_shared = shared_copy + products * shared_line * rows * 1.15;
    const double by_columns = columns_copy + products * compact * rows * 1.1;
    const double gathered = compact + (double)(axis[0].count * axis[1].count);
    const double by_panels = shared_copy + products * (compact * rows + gathered * copy);
    const bool panels = by_panels < by_shared && by_panels < by_columns;
    *cost = panels ? by_panels : by_columns < by_shared ? by_columns : by_shared;
    *cost += compact * rows * 20;
    return panels ? FC_PLANE_PANELS : by_columns < by_shared ? FC_PLANE_COLUMNS : FC_PLANE_SHARED;
}

/* Half cycles that a step of a tile takes: multiply-adds, loads (one that crosses a cache line counts twice) and the
 * latency of a short chain of sums run side by side; what a panel holds may have to come from L2. */
static double step_of(const fc_conv_plan *plan, double rows, double vectors)
{
    const double fma = rows * vectors, latency = 8;
    const double loads = rows + (fc_plane_gathers(plan) ? 1.0 : 2.0) * vectors;
    const double busy = fma > loads ? fma : loads;
    return (busy > latency ? busy : latency) + 0.25 * vectors;
}

/* Rows of weights that are not packed are as far apart as they are long: more of them than L1 has ways could all meet
 * in one set. */
enum { MOST_ROWS_IN_PLACE = 8 };

/* The tile whose work for a line is least. */
static void choose_tile(fc_conv_plan *plan, ptrdiff_t line)
{
    const int most_rows = plan->reads_weights && !fc_plane_copies(plan) ? MOST_ROWS_IN_PLACE : FC_MAX_ROWS;
    const fc_kernels *kernels = fc_kernels_for(plan->desc.isa, plan->desc.dtype);
    const ptrdiff_t oc = fc_conv_channels(&plan->desc).oc;
    double least = 0;
    plan->vectors = 0;
    for (int v = 1; v <= FC_MAX_VECTORS; v++) {
        if (kernels->max_rows[v] == 0)
            continue;
        const ptrdiff_t tiles = fc_divide_up(oc, fc_min(kernels->max_rows[v], most_rows)),
                        vector = (ptrdiff_t)v * plan->lanes;
        const int rows = (int)fc_divide_up(oc, tiles), rest = fc_plane_narrow(kernels, v, rows, line % vector);
        const double panels = (double)(line / vector) * step_of(plan, rows, v);
        const double cost = (double)tiles * (panels + (line % vector > 0 ? step_of(plan, rows, rest) : 0));
        if (plan->vectors == 0 || cost < least) {
            plan->vectors = v;
            plan->rows = rows;
            least = cost;
        }
    }
}

/* Tiles side by side are one stretch as long as a tile of other channels still finds their input in L1: what is found
 * and stored for a stretch takes as long for one as for four, whose results are as many lines as L1 awaits at once. */
static ptrdiff_t choose_stretch(const fc_conv_plan *plan, const fc_phase *phase)
{
    enum { STRETCH_BYTES = 8 * 1024, MOST_TILES = 4 };
    const ptrdiff_t width = fc_plane_width(plan), rows = phase->axis[0].taps * phase->axis[1].taps;
    if (fc_plane_gathers(plan) || plan->block < input_channels(plan))
        return width;
    const double bytes = (double)plan->block * (double)rows * (double)width * (double)fc_element(&plan->desc);
    const double tiles = STRETCH_BYTES / (bytes + 1);
    return width * (tiles < 1 ? 1 : tiles > MOST_TILES ? MOST_TILES : (ptrdiff_t)tiles);
}

static bool fits(const fc_conv_plan *plan, const fc_phase *phase, const ptrdiff_t box[FC_SPATIAL])
{
    const fc_band band = fc_plane_band(plan, phase, box);
    const double element = (double)fc_element(&plan->desc), line = (double)fc_plane_line(plan->form, &band, box);
    if (fc_plane_gathers(plan) && line > LONG_LINE)
        return false;
    const double most = fc_plane_copies(plan) ? 4.0 * ACC_BYTES : ACC_BYTES; /* some tiles' are wanted at a time */
    if (plan->block < input_channels(plan) && line * element * (double)fc_conv_channels(&plan->desc).oc > most)
        return false;
    return plan->flat || (double)band.channel * element * (double)plan->block <= BAND_BYTES;
}

/* The largest extent in [least, count] that fits, for one axis of the box; `least` when none does. */
static void grow(fc_conv_plan *plan, const fc_phase *phase, int axis, ptrdiff_t least)
{
    ptrdiff_t low = least, high = phase->axis[axis].count;
    while (low < high) {
        plan->tile[axis] = low + (high - low + 1) / 2;
        if (fits(plan, phase, plan->tile))
            low = plan->tile[axis];
        else
            high = plan->tile[axis] - 1;
    }
    if (low > least) /* equal pieces instead of a small last one */
        low = fc_divide_up(phase->axis[axis].count, fc_divide_up(phase->axis[axis].count, low));
    if (plan->flat) { /* that begin where a vector of results begins */
        const ptrdiff_t whole = (ptrdiff_t)4 * plan->lanes;
        low = fc_min(fc_divide_up(low, whole) * whole, phase->axis[axis].count);
    }
    plan->tile[axis] = low;
}

/* Whole rows where they fit, at least some vectors of columns where they do not; then rows, then depth. */
static void choose_box(fc_conv_plan *plan, const fc_phase *phase)
{
    plan->tile[0] = plan->tile[1] = 1;
    grow(plan, phase, 2, fc_min((ptrdiff_t)4 * plan->lanes, phase->axis[2].count));
    grow(plan, phase, 1, 1);
    grow(plan, phase, 0, 1);
}

void fc_plane_lay_out(const fc_conv_plan *plan, fc_arena *arena, fc_plane_workspace *at)
{
    const size_t element = fc_element(&plan->desc);
    const ptrdiff_t vector = fc_plane_width(plan), products = fc_saturate(most_taps(plan), plan->block);
    const ptrdiff_t stretch = plan->stretch;
    const ptrdiff_t tiles = fc_divide_up(fc_conv_channels(&plan->desc).oc, plan->rows);
    const ptrdiff_t kept = plan->block < input_channels(plan) ? fc_saturate(plan->panels, tiles) : 1;
    /* the last vector of a tile may start at the line's last position, in any channel */
    at->band = fc_carve(arena, plan->flat ? 0 : plan->band + vector, element);
    const bool copies = fc_plane_copies(plan);
    const ptrdiff_t panel = fc_plane_gathers(plan) ? fc_saturate(products + 1, vector) : 0;
    at->panel = fc_carve(arena, fc_saturate(panel, copies ? plan->panels : 1), element);
    at->copied = fc_carve(arena, copies ? fc_saturate(products, (ptrdiff_t)FC_TILES_COPIED * plan->rows) : 0, element);
    at->in_band = fc_carve(arena, products, sizeof(ptrdiff_t));
    at->in_panel = fc_carve(arena, fc_plane_gathers(plan) ? products : 0, sizeof(ptrdiff_t));
    at->in_row = fc_carve(arena, plan->reads_weights ? products : 0, sizeof(ptrdiff_t));
    at->sources = fc_carve(arena, stretch, sizeof(fc_segment));
    at->results = fc_carve(arena, stretch, sizeof(fc_segment));
    at->acc = fc_carve(arena, fc_saturate(kept, plan->rows * stretch), element);
    fc_carve(arena, plan->lanes, element); /* store_plane reads a vector past the sums */
}

/* Room for the bands and lines of every phase. */
static void reserve(fc_conv_plan *plan)
{
    const ptrdiff_t phases = fc_phases(&plan->desc);
    plan->band = 0;
    ptrdiff_t line = 1;
    for (ptrdiff_t i = 0; i < phases; i++) {
        fc_phase phase;
        fc_phase_at(&plan->desc, i, &phase);
        if (plan->flat)
            fc_flatten(&phase);
        const fc_band band = fc_plane_band(plan, &phase, plan->tile);
        plan->band = fc_max_extent(plan->band, band.channel);
        if (band.channel < PTRDIFF_MAX)
            line = fc_max_extent(line, fc_plane_line(plan->form, &band, plan->tile));
    }
    plan->band = fc_saturate(plan->band, plan->block);
    plan->panels = fc_divide_up(line, plan->stretch);
}

/* The phase with the most work. */
static fc_phase largest_phase(const fc_conv_desc *desc)
{
    const ptrdiff_t phases = fc_phases(desc);
    fc_phase largest = {.taps = 0};
    for (ptrdiff_t i = 0; i < phases; i++) {
        fc_phase phase;
        fc_phase_at(desc, i, &phase);
        if (i == 0 || (double)phase.taps * (double)phase.count > (double)largest.taps * (double)largest.count)
            largest = phase;
    }
    return largest;
}

/* Whether a single run had better read weights where they lie: they are many, and meet few positions. */
static bool packing_counts(const fc_conv_plan *plan, const fc_phase *phase)
{
    enum { MANY_WEIGHTS = 32 * 1024 };
    const double weights = (double)phase->taps * (double)plan->desc.oc * (double)input_channels(plan);
    return plan->desc.reuse == FC_ONCE && !plan->blocks_of_images && phase->count <= FC_FEW_POSITIONS &&
           weights >= MANY_WEIGHTS;
}

bool fc_lie_in_rows(const fc_conv_desc *desc, const ptrdiff_t strides[2 + FC_SPATIAL])
{
    ptrdiff_t length = 1;
    for (int a = FC_SPATIAL - 1; a >= 0; a--) {
        if (desc->kernel[a] > 1 && strides[2 + a] != length)
            return false;
        length *= desc->kernel[a];
    }
    return desc->ic == desc->groups || strides[1] == length;
}

static void choose_block(fc_conv_plan *plan, const fc_phase *phase)
{
    plan->block = block_of(plan, phase, fc_plane_gathers(plan) ? PANEL_PRODUCTS : FC_SUM_LENGTH);
    choose_box(plan, phase);
}

/* The box of a plan whose runs may take weights as they lie; a backward one copies them on the way, which must not be
 * for a box of several. */
static bool choose_to_read(fc_conv_plan *plan, const fc_phase *phase)
{
    const fc_plane_form form = plan->form;
    plan->reads_weights = packing_counts(plan, phase);
    if (!plan->reads_weights)
        return false;
    plan->form = FC_PLANE_PANELS;
    choose_block(plan, phase);
    bool whole = true;
    for (int a = 0; a < FC_SPATIAL; a++)
        whole = whole && plan->tile[a] >= phase->axis[a].count;
    if (fc_plane_copies(plan) && !whole) {
        plan->reads_weights = false;
        plan->form = form;
    }
    return plan->reads_weights;
}

double fc_plane_cost(const fc_conv_plan *plan)
{
    fc_conv_plan candidate = *plan;
    fc_phase phase = largest_phase(&plan->desc);
    double cost;
    candidate.flat = fc_flatten(&phase);
    choose_form(&candidate, &phase, &cost);
    const double in_blocks = fc_images_cost(plan, &phase);
    return in_blocks >= 0 && in_blocks < cost ? in_blocks : cost;
}

fc_status fc_plan_plane(fc_conv_plan *plan)
{
    fc_phase phase = largest_phase(&plan->desc);
    if (phase.count == 0) {
        plan->vectors = plan->rows = 1;
        plan->stretch = plan->lanes;
        return FC_OK;
    }
    plan->flat = fc_flatten(&phase);
    double cost;
    plan->form = choose_form(plan, &phase, &cost);
    if (plan->flat)
        plan->form = FC_PLANE_PANELS;
    const double in_blocks = fc_images_cost(plan, &phase);
    plan->blocks_of_images = in_blocks >= 0 && in_blocks < cost;
    if (!choose_to_read(plan, &phase))
        choose_block(plan, &phase);
    const fc_band band = fc_plane_band(plan, &phase, plan->tile);
    choose_tile(plan, band.channel < PTRDIFF_MAX ? fc_plane_line(plan->form, &band, plan->tile) : band.channel);
    plan->stretch = choose_stretch(plan, &phase);
    reserve(plan);
    if (plan->band > PTRDIFF_MAX / 16)
        return FC_OVERFLOW;
    fc_arena arena = {.fits = true};
    fc_plane_workspace at;
    fc_plane_lay_out(plan, &arena, &at);
    if (plan->blocks_of_images) {
        fc_arena blocks = {.fits = true};
        fc_images_lay_out(plan, &phase, &blocks);
        arena.used = arena.used > blocks.used ? arena.used : blocks.used;
        arena.fits = arena.fits && blocks.fits;
    }
    return fc_reserve_packed(plan) ? fc_set_workspace(plan, &arena) : FC_OVERFLOW;
}
