#define _GNU_SOURCE
#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct counts counts;
bool is_working, is_measuring;
struct buffer setup_packet, proof_packet, poll_packet;

/* Everything that is sent is made once and serves all clients: sending a question costs its system call. */
static struct buffer questions[MAX_LIST * MAX_WINDOW];
static struct buffer answer;               /* what an echo of text must answer */
static struct buffer payload;
static int asking;                         /* clients that ask */

static struct buffer tick;                 /* the packet that a broadcast brings */
static int listeners, unheard;
static uint64_t begun_at;

static uint64_t interval, due_at;          /* of a load that is paced */
static int next_client;

static int slots(void)
{
    return options.is_paced ? MAX_WINDOW : options.window;
}

static struct buffer question(const char *event, int slot)
{
    struct buffer text = {0}, frames = {0};
    char head[96];
    if (options.kind == BINARY) {
        snprintf(head, sizeof head, "451-%d[\"%s\",{\"_placeholder\":true,\"num\":0}]", 1000 + slot, event);
        add_frame(&frames, TEXT, head, strlen(head));
        add_frame(&frames, BINARY_DATA, payload.data, payload.size);
        return frames;
    }
    snprintf(head, sizeof head, "42%d[\"%s\"", 1000 + slot, event);
    add_text(&text, head);
    if (payload.size) {
        add_text(&text, ",\"");
        add(&text, payload.data, payload.size);
        add_text(&text, "\"");
    }
    add_text(&text, "]");
    if (options.kind == POLL) return text;
    add_frame(&frames, TEXT, text.data, text.size);
    release(&text);
    return frames;
}

void work_init(void)
{
    static const char PROOF[] = "421000[\"echo\",\"x\"]";
    for (int i = 0; i < options.size; i++) add(&payload, &"abcdefghijklmnopqrstuvwxyz"[i % 26], 1);
    for (int e = 0; e < options.event_count; e++)
        for (int slot = 0; slot < slots(); slot++) questions[e * slots() + slot] = question(options.events[e], slot);
    poll_packet = questions[0];
    if (payload.size && options.kind != BINARY) {
        add_text(&answer, "[\"");
        add(&answer, payload.data, payload.size);
        add_text(&answer, "\"]");
    }
    add_frame(&proof_packet, TEXT, PROOF, strlen(PROOF));
    if (options.setup) {
        char text[96];
        snprintf(text, sizeof text, "421000[\"%s\"]", options.setup);
        add_frame(&setup_packet, TEXT, text, strlen(text));
    }
    asking = options.active ? options.active : options.clients;
    for (int i = 0; i < options.clients; i++) {
        clients[i].asked_at = calloc((size_t)slots(), sizeof *clients[i].asked_at);
        clients[i].is_deaf = i >= options.clients - options.deaf;
    }
}

void entered(struct client *c)
{
    c->is_in = true;
    counts.ready++;
    if (is_measuring) record(latencies, now_ns() - c->began);
}

/* --- questions and answers */

void ask(struct client *c, int slot, uint64_t at)
{
    const struct buffer *q = &questions[(int)(c->turn++ % (unsigned)options.event_count) * slots() + slot];
    c->in_flight |= (uint64_t)1 << slot;
    c->asked_at[slot] = at;
    counts.asked++;
    transmit(c, q->data, q->size);
}

static void begin_round(struct client *c)
{
    c->in_flight = 1;
    c->asked_at[0] = now_ns();
    counts.asked++;
    if (options.kind == PAGE) ask_for_page(c);
    else post_event(c);
}

static void settle(struct client *c, int slot, bool is_right)
{
    uint64_t bit = slot >= 0 && slot < slots() ? (uint64_t)1 << slot : 0, now = now_ns();
    if (!(c->in_flight & bit)) {
        counts.errors++;
        return;
    }
    if (!is_right) counts.errors++;
    c->in_flight &= ~bit;
    counts.answered++;
    if (is_measuring) record(latencies, now - c->asked_at[slot]);
    if (!is_working || interval) return;
    if (options.kind == POLL || options.kind == PAGE) begin_round(c);
    else ask(c, slot, now);
}

void on_answer(struct client *c, int slot, const char *arguments, size_t size)
{
    bool is_any = !payload.size;           /* of an attachment, none is right */
    settle(c, slot, is_any || (answer.size && size == answer.size && !memcmp(arguments, answer.data, size)));
}

void on_attachment(struct client *c, const char *data, size_t size)
{
    settle(c, c->attachment_of, size == payload.size && !memcmp(data, payload.data, size));
    c->attachment_of = -1;
}

void on_page(struct client *c)
{
    settle(c, 0, true);
}

/* --- broadcasts: the next one when all have heard the last */

static void begin_broadcast(void)
{
    static struct buffer text, frame;
    char number[16];
    snprintf(number, sizeof number, "%010llu", (unsigned long long)counts.broadcasts + 1);
    text.size = frame.size = tick.size = 0;
    add_text(&text, "42[\"bcast\",\"");
    add_text(&tick, "42[\"tick\",\"");
    for (struct buffer *b = &text; b; b = b == &text ? &tick : NULL) {
        add(b, number, 10);
        add(b, payload.data + 10, payload.size - 10);
        add_text(b, "\"]");
    }
    add_frame(&frame, TEXT, text.data, text.size);
    counts.broadcasts++;
    unheard = listeners;
    begun_at = now_ns();
    transmit(&clients[0], frame.data, frame.size);
}

void on_event(struct client *c, const char *packet, size_t size)
{
    if (options.kind != BROADCAST || size != tick.size || memcmp(packet, tick.data, size) || ++c->heard != counts.broadcasts) {
        counts.errors++;
        return;
    }
    counts.delivered++;
    if (is_measuring) record(latencies, now_ns() - begun_at);
    if (--unheard == 0 && is_working) begin_broadcast();
}

void gone(struct client *c)
{
    counts.closed++;
    counts.missed += (uint64_t)__builtin_popcountll(c->in_flight);
    c->in_flight = 0;
    if (options.kind != BROADCAST || !listeners || c->is_deaf) return;
    listeners--;
    if (c->heard == counts.broadcasts || --unheard || !is_working) return;
    begin_broadcast();
}

/* --- the phases */

void begin_work(void)
{
    is_working = true;
    if (options.kind == BROADCAST) {
        listeners = counts.ready - options.deaf;
        begin_broadcast();
    }
    for (int i = 0; i < asking && options.kind != BROADCAST; i++) {
        struct client *c = &clients[i];
        if (options.kind == POLL || options.kind == PAGE) begin_round(c);
        else for (int slot = 0; slot < options.window; slot++) ask(c, slot, now_ns());
    }
    flush();
}

void end_work(void)
{
    is_working = false;
    interval = 0;
}

bool is_settled(void)
{
    return counts.asked == counts.answered + counts.missed && !unheard;
}

void pace(double per_second)
{
    interval = (uint64_t)(1e9 / per_second);
    due_at = now_ns();
    is_working = true;
}

int64_t send_what_is_due(void)
{
    uint64_t now;
    if (!interval) return INT64_MAX;
    while ((now = now_ns()) >= due_at) {
        struct client *c = &clients[next_client++ % asking];
        uint64_t free_slots = ~c->in_flight;
        if (is_measuring) record(lateness, now - due_at);
        if (c->stage == READY && free_slots) {
            ask(c, __builtin_ctzll(free_slots), due_at);
        } else {
            counts.asked++;
            counts.missed++;
        }
        flush();
        due_at += interval;
    }
    return (int64_t)(due_at - now);
}
