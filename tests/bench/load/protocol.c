#define _GNU_SOURCE
#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH "/socket.io/"
#define SEPARATOR '\x1e'

/* Without an offer to compress, which this generator could not keep. */
static const char BROWSER[] =
    "Pragma: no-cache\r\n"
    "Cache-Control: no-cache\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36\r\n"
    "Origin: http://localhost\r\n"
    "Accept-Encoding: gzip, deflate, br, zstd\r\n"
    "Accept-Language: en-GB,en;q=0.9,de;q=0.8\r\n"
    "Cookie: session=eyJ1c2VyIjoxMjM0NX0.Zx8Qbw.0cN1bGyVZr8mPq3kTnXwYdH5aLs; theme=dark; csrftoken=9fJ2mQx7RtVbKp4W\r\n";

static void send_text(struct client *c, const char *text)
{
    static struct buffer frame;
    frame.size = 0;
    add_frame(&frame, TEXT, text, strlen(text));
    transmit(c, frame.data, frame.size);
}

/* --- HTTP */

static void begin_request(struct client *c, const char *method, const char *transport)
{
    char line[256];
    c->request.size = 0;
    snprintf(line, sizeof line, "%s " PATH "?EIO=4&transport=%s%s%s HTTP/1.1\r\nHost: localhost\r\n",
             method, transport, c->sid[0] ? "&sid=" : "", c->sid);
    add_text(&c->request, line);
    if (options.is_browser) add_text(&c->request, BROWSER);
}

static void send_request(struct client *c)
{
    c->tries = 0;
    if (c->fd < 0) open_client(c);         /* `connected` sends it */
    else transmit(c, c->request.data, c->request.size);
}

static void get(struct client *c, enum step step)
{
    c->stage = POLLING;
    c->step = step;
    begin_request(c, "GET", "polling");
    add_text(&c->request, "\r\n");
    send_request(c);
}

static void post(struct client *c, enum step step, const struct buffer *body)
{
    char line[96];
    c->stage = POLLING;
    c->step = step;
    begin_request(c, "POST", "polling");
    snprintf(line, sizeof line, "Content-Type: text/plain;charset=UTF-8\r\nContent-Length: %zu\r\n\r\n", body->size);
    add_text(&c->request, line);
    add(&c->request, body->data, body->size);
    send_request(c);
}

static void ask_for_websocket(struct client *c)
{
    c->stage = SWITCHING;
    begin_request(c, "GET", "websocket");
    add_text(&c->request, "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                          "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    transmit(c, c->request.data, c->request.size);
    release(&c->request);
}

void ask_for_page(struct client *c)
{
    c->stage = POLLING;
    c->step = VISIT;
    c->request.size = 0;
    add_text(&c->request, "GET / HTTP/1.1\r\nHost: localhost\r\n");
    if (options.is_browser) add_text(&c->request, BROWSER);
    add_text(&c->request, "\r\n");
    send_request(c);
}

void connected(struct client *c)
{
    if (c->stage == POLLING) transmit(c, c->request.data, c->request.size);
    else if (options.kind == PAGE) ask_for_page(c);
    else if (c->stage == CONNECTING && (options.kind == POLL || options.kind == UPGRADE)) get(c, OPEN);
    else ask_for_websocket(c);
}

void post_event(struct client *c)
{
    static struct buffer body;
    body.size = 0;
    if (c->owes_pong) add(&body, "3\x1e", 2);
    c->owes_pong = false;
    add(&body, poll_packet.data, poll_packet.size);
    post(c, SEND, &body);
}

/* What a poll has brought; whether the packet that is waited for is in it. */
static bool look_through(struct client *c, char *data, size_t size)
{
    bool is_there = false;
    for (char *end = data + size; data < end;) {
        char *stop = memchr(data, SEPARATOR, (size_t)(end - data));
        if (!stop) stop = end;
        size_t length = (size_t)(stop - data);
        if (*data == '2') {
            c->owes_pong = true;
        } else if (c->step == ENTERED && length > 1 && !memcmp(data, "40", 2)) {
            is_there = true;
        } else if (c->step == FETCH && length > 1 && !memcmp(data, "43", 2)) {
            char *arguments = memchr(data, '[', length);
            on_answer(c, 0, arguments, arguments ? (size_t)(stop - arguments) : 0);
            is_there = true;
        }
        data = stop + 1;
    }
    return is_there;
}

static void on_response(struct client *c, const struct response *r)
{
    static struct buffer enter;
    if (!enter.size) add_text(&enter, "40");
    if (r->status != 200) {
        lost(c);
        return;
    }
    switch (c->step) {
    case OPEN: {
        const char *sid = memmem(r->body, r->size, "\"sid\":", 6), *end = r->body + r->size;
        const char *quote = sid ? memchr(sid + 6, '"', (size_t)(end - sid - 6)) : NULL;
        size_t n = 0;
        while (quote && ++quote < end && *quote != '"' && n < sizeof c->sid - 1) c->sid[n++] = *quote;
        c->sid[n] = 0;
        if (n) post(c, ENTER, &enter);
        else lost(c);
        return;
    }
    case ENTER:
        get(c, ENTERED);
        return;
    case ENTERED:
        if (!look_through(c, r->body, r->size)) {
            get(c, ENTERED);
        } else if (options.kind == UPGRADE) {
            close_client(c);
            c->stage = SWITCHING;
            open_client(c);
        } else {
            c->stage = READY;
            entered(c);
        }
        return;
    case SEND:
        get(c, FETCH);
        return;
    case FETCH:
        if (!look_through(c, r->body, r->size)) get(c, FETCH);
        return;
    case VISIT:
        c->stage = READY;
        if (c->is_in) on_page(c);
        else entered(c);
        return;
    }
}

static size_t received_http(struct client *c, char *data, size_t size, bool is_end)
{
    struct response r;
    size_t used = take_response(&r, data, size, is_end);
    if (!used) return 0;
    if (c->stage == SWITCHING) {
        if (r.status == 101) c->stage = c->sid[0] ? PROBING : OPENING;
        if (c->stage == PROBING) send_text(c, "2probe");
        if (r.status != 101) lost(c);
    } else {
        if (r.is_last || is_end) close_client(c);
        on_response(c, &r);
    }
    return used;
}

/* --- Engine.IO and Socket.IO on a WebSocket */

static void enter_or_prepare(struct client *c)
{
    if (setup_packet.size && c->stage == ENTERING) {
        c->stage = PREPARING;
        transmit(c, setup_packet.data, setup_packet.size);
        return;
    }
    c->stage = READY;
    if (c->is_deaf) stop_listening(c);
    entered(c);
}

/* The digits of an acknowledgement's number, and what stands behind them. */
static int number_of(const char *data, size_t size, const char **rest)
{
    int number = 0;
    const char *end = data + size;
    while (data < end && *data >= '0' && *data <= '9') number = number * 10 + (*data++ - '0');
    *rest = data;
    return number;
}

static void on_packet(struct client *c, char *data, size_t size)
{
    const char *rest;
    switch (size > 1 ? data[1] : 0) {
    case '0':
        if (c->stage == ENTERING) enter_or_prepare(c);
        return;
    case '2':
        on_event(c, data, size);
        return;
    case '3': {
        int number = number_of(data + 2, size - 2, &rest);
        if (c->stage == READY) on_answer(c, number - 1000, rest, (size_t)(data + size - rest));
        else enter_or_prepare(c);
        return;
    }
    case '6': {                            /* 461-1000[{"_placeholder":true,"num":0}], and its attachment in the next frame */
        const char *dash = memchr(data, '-', size);
        if (!dash) break;
        c->attachment_of = number_of(dash + 1, (size_t)(data + size - dash - 1), &rest) - 1000;
        return;
    }
    }
    counts.errors++;
}

static void on_message(struct client *c, char *data, size_t size)
{
    switch (size ? data[0] : 0) {
    case '0':
        send_text(c, "40");
        c->stage = ENTERING;
        return;
    case '1':
        lost(c);
        return;
    case '2':
        send_text(c, "3");
        counts.pings++;
        return;
    case '3':
        send_text(c, "5");
        transmit(c, proof_packet.data, proof_packet.size);
        c->stage = PROVING;
        return;
    case '4':
        on_packet(c, data, size);
        return;
    case '6':
        return;
    default:
        counts.errors++;
    }
}

static size_t received_frame(struct client *c, char *data, size_t size)
{
    struct frame f;
    size_t used = take_frame(&f, data, size);
    if (!used) return 0;
    if (!f.is_plain) fail("a frame that is compressed or part of a message: this generator knows whole and plain ones");
    switch (f.opcode) {
    case TEXT:
        on_message(c, f.data, f.size);
        break;
    case BINARY_DATA:
        on_attachment(c, f.data, f.size);
        break;
    case PING: {
        struct buffer frame = {0};
        add_frame(&frame, PONG, f.data, f.size);
        transmit(c, frame.data, frame.size);
        release(&frame);
        break;
    }
    case CLOSE:
        lost(c);
        break;
    default:
        counts.errors++;
    }
    return used;
}

size_t received(struct client *c, char *data, size_t size, bool is_end)
{
    if (c->stage == POLLING || c->stage == SWITCHING) return received_http(c, data, size, is_end);
    return received_frame(c, data, size);
}

void lost(struct client *c)
{
    /* a server may end a connection that rests between two requests: the request is sent once more on another */
    bool may_retry = c->stage == POLLING && c->tries++ < 2;
    close_client(c);
    if (may_retry) {
        counts.reconnected++;
        open_client(c);
        return;
    }
    c->stage = CLOSED;
    if (c->is_in) gone(c);
    else counts.failed++;
}
