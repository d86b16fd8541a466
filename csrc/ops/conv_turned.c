/* Small channels-first images, turned: brought to channels-last, convolved there, and the results brought back.
 *
 * Planes of a few dozen pixels waste vectors at every end of a row, and a stride takes them apart besides; channels do
 * not care how many pixels there are. As many images as share half of L2 with their results go together, so that
 * every step finds what the last one left. A plan that turns has a channels-last convolution as `desc`, and `given` is
 * what it was asked for; weights and biases know no layout.
 */
#include "parallel.h"
#include "plane.h"

typedef struct {
    ptrdiff_t image; /* elements of an image */
    ptrdiff_t channels, pixels;
} planes;

static planes input_of(const fc_conv_desc *desc)
{
    const ptrdiff_t pixels = desc->src[0] * desc->src[1] * desc->src[2];
    return (planes){desc->ic * pixels, desc->ic, pixels};
}

static planes results_of(const fc_conv_desc *desc)
{
    const ptrdiff_t pixels = desc->dst[0] * desc->dst[1] * desc->dst[2];
    return (planes){desc->oc * pixels, desc->oc, pixels};
}

/* Elements that an image takes while it is turned: input, residual, results. */
static double elements(const fc_conv_desc *desc)
{
    return (double)input_of(desc).image + 2 * (double)results_of(desc).image;
}

static double most_elements(const fc_conv_desc *desc) { return (double)fc_l2_bytes() / 2 / (double)fc_element(desc); }

/* In cycles for one image and group, as fc_plane_cost: multiply-adds at the peak, and a cycle and a half for an element
 * that is turned. */
static double cost_of_turning(const fc_conv_plan *plan)
{
    const fc_conv_desc *desc = &plan->desc;
    const fc_channels channels = fc_conv_channels(desc);
    const double products = (double)(desc->kernel[0] * desc->kernel[1] * desc->kernel[2]) * (double)channels.ic;
    const double results = (double)results_of(desc).pixels * (double)fc_divide_up(channels.oc, plan->lanes);
    const double turned = (double)(input_of(desc).image + results_of(desc).image) / (double)channels.groups;
    return results * products / 2 + 1.5 * turned;
}

ptrdiff_t fc_images_to_turn(const fc_conv_plan *plan)
{
    const fc_conv_desc *desc = &plan->desc;
    if (desc->layout != FC_CHANNELS_FIRST || desc->algorithm != FC_AUTO || desc->direction != FC_FORWARD ||
        fc_is_depthwise(desc) || results_of(desc).pixels <= 1 || elements(desc) > most_elements(desc) ||
        cost_of_turning(plan) > fc_plane_cost(plan))
        return 0;
    return (ptrdiff_t)(most_elements(desc) / elements(desc));
}

/* ---- running ---------------------------------------------------------------------------------------------- */

typedef struct {
    const fc_conv_plan *plan;
    planes planes;
    const char *src;
    char *dst;
    ptrdiff_t images;
    bool back;
} turning;

enum { STRIP = 64 };

/* Units of work: (image, strip of pixels). */
static void turn_strips(const void *context, fc_part part)
{
    const turning *t = context;
    const size_t element = fc_element(&t->plan->desc);
    const ptrdiff_t pixels = t->planes.pixels, channels = t->planes.channels, strips = fc_divide_up(pixels, STRIP);
    ptrdiff_t begin, end;
    fc_share_of(t->images * strips, part, &begin, &end);
    for (ptrdiff_t unit = begin; unit < end; unit++) {
        const ptrdiff_t first = unit % strips * STRIP, count = fc_min(STRIP, pixels - first);
        const ptrdiff_t image = unit / strips * t->planes.image, in_planes = image + first;
        const ptrdiff_t in_rows = image + first * channels;
        /* back, a channel is what a pixel is on the way in */
        const ptrdiff_t along = t->back ? channels : count, across = t->back ? count : channels;
        fc_kernels_for(t->plan->desc.isa, t->plan->desc.dtype)
            ->conv->gather(&(fc_gather){
                .src = t->src + (size_t)(t->back ? in_rows : in_planes) * element,
                .pixel_step = 1,
                .channel_step = t->back ? channels : pixels,
                .pixels = along,
                .channels = across,
                .piece = (int)across,
                .width = (int)across,
                .pitch = t->back ? pixels : channels,
                .dst = t->dst + (size_t)(t->back ? in_planes : in_rows) * element,
            });
    }
}

static fc_status turn(turning t, int threads)
{
    static const double WORK = 16; /* multiply-adds that take as long as an element */
    return fc_parallel(fc_crew_for(WORK * (double)t.images * (double)t.planes.image, threads), turn_strips, &t);
}

typedef struct {
    char *input, *residual, *results; /* of the images that are turned together */
} workspace;

static workspace lay_out(const fc_conv_plan *plan, fc_arena *arena)
{
    const ptrdiff_t results = plan->turned * results_of(&plan->desc).image;
    const size_t element = fc_element(&plan->desc);
    workspace at;
    at.input = fc_carve(arena, plan->turned * input_of(&plan->desc).image, element);
    at.residual = fc_carve(arena, results, element);
    at.results = fc_carve(arena, results, element);
    return at;
}

size_t fc_turned_bytes(const fc_conv_plan *plan)
{
    fc_arena arena = {.fits = true};
    lay_out(plan, &arena);
    return (arena.used + 127) / 128 * 128;
}

fc_status fc_run_turned(const fc_conv_call *call, fc_run_call *run, int threads)
{
    const fc_conv_plan *plan = call->plan;
    const planes input = input_of(&plan->desc), results = results_of(&plan->desc);
    fc_arena arena = {call->workspace, 0, true};
    const workspace at = lay_out(plan, &arena);
    fc_conv_call some = *call;
    some.src = at.input;
    some.dst = at.results;
    some.residual = call->residual ? at.residual : NULL;
    for (ptrdiff_t first = 0; first < call->n; first += some.n) {
        const size_t before = (size_t)(first * results.image) * call->element;
        some.n = fc_min(plan->turned, call->n - first);
        const char *const src = call->src + (size_t)(first * input.image) * call->element;
        fc_status status = turn((turning){plan, input, src, at.input, some.n, false}, threads);
        if (status == FC_OK && call->residual)
            status = turn((turning){plan, results, call->residual + before, at.residual, some.n, false}, threads);
        if (status == FC_OK)
            status = run(&some, threads);
        if (status == FC_OK)
            status = turn((turning){plan, results, at.results, call->dst + before, some.n, true}, threads);
        if (status != FC_OK)
            return status;
    }
    return FC_OK;
}
