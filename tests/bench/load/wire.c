#define _GNU_SOURCE
#include "load.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* --- buffers */

void add(struct buffer *b, const void *bytes, size_t size)
{
    if (b->size + size > b->room) {
        b->room = (b->size + size) * 2;
        b->data = realloc(b->data, b->room);
        if (!b->data) fail("out of memory");
    }
    memcpy(b->data + b->size, bytes, size);
    b->size += size;
}

void add_text(struct buffer *b, const char *text)
{
    add(b, text, strlen(text));
}

void drop(struct buffer *b, size_t size)
{
    b->size -= size;
    memmove(b->data, b->data + size, b->size);
}

void release(struct buffer *b)
{
    free(b->data);
    *b = (struct buffer){0};
}

/* --- WebSocket frames */

static const uint8_t MASK[4] = {0x5a, 0x17, 0xe2, 0x39};      /* one for all: servers have to undo any */

void add_frame(struct buffer *b, enum opcode opcode, const void *data, size_t size)
{
    uint8_t head[14];
    size_t n = 2;
    head[0] = (uint8_t)(0x80 | opcode);
    if (size < 126) {
        head[1] = (uint8_t)size;
    } else {
        int bytes = size < 65536 ? 2 : 8;
        head[1] = bytes == 2 ? 126 : 127;
        for (int i = bytes - 1; i >= 0; i--) head[n++] = (uint8_t)((uint64_t)size >> 8 * i);
    }
    head[1] |= 0x80;
    memcpy(head + n, MASK, sizeof MASK);
    add(b, head, n + sizeof MASK);
    size_t start = b->size;
    add(b, data, size);
    for (size_t i = 0; i < size; i++) b->data[start + i] ^= (char)MASK[i % 4];
}

size_t take_frame(struct frame *f, char *data, size_t size)
{
    if (size < 2) return 0;
    const uint8_t *head = (const uint8_t *)data;
    uint64_t length = head[1] & 0x7f;
    size_t start = 2;
    if (length >= 126) {
        size_t bytes = length == 126 ? 2 : 8;
        if (size < start + bytes) return 0;
        for (length = 0; start < 2 + bytes; start++) length = length << 8 | head[start];
    }
    if (size - start < length) return 0;
    *f = (struct frame){.opcode = head[0] & 0x0f, .is_plain = (head[0] & 0xf0) == 0x80, .data = data + start, .size = length};
    return start + length;
}

/* --- HTTP responses: by Content-Length, in chunks, or until the connection ends */

static const char *header(const char *head, const char *end, const char *name)
{
    size_t size = strlen(name);
    for (const char *line = head; line && line < end; line = memmem(line, (size_t)(end - line), "\r\n", 2)) {
        if (line != head) line += 2;
        if (!strncasecmp(line, name, size) && line[size] == ':') {
            for (line += size + 1; *line == ' '; line++) {}
            return line;
        }
    }
    return NULL;
}

/* Join the chunks in a buffer of ours, as they may not be complete yet. */
static size_t take_chunks(struct response *r, const char *data, size_t size)
{
    static struct buffer body;
    body.size = 0;
    for (const char *at = data, *end = data + size;;) {
        const char *line = memmem(at, (size_t)(end - at), "\r\n", 2);
        if (!line) return 0;
        size_t length = strtoul(at, NULL, 16);
        at = line + 2;
        if ((size_t)(end - at) < length + 2) return 0;
        add(&body, at, length);
        at += length + 2;
        if (!length) {
            r->body = body.data;
            r->size = body.size;
            return (size_t)(at - data);
        }
    }
}

size_t take_response(struct response *r, char *data, size_t size, bool is_end)
{
    char *blank = memmem(data, size, "\r\n\r\n", 4);
    if (!blank) return 0;
    char *body = blank + 4;
    size_t rest = (size_t)(data + size - body), used = 0;
    const char *length = header(data, blank, "content-length"), *coding = header(data, blank, "transfer-encoding");
    const char *connection = header(data, blank, "connection");
    r->status = atoi(data + 9);
    r->is_last = !strncmp(data, "HTTP/1.0", 8);
    if (connection) r->is_last = !strncasecmp(connection, "close", 5) || (r->is_last && strncasecmp(connection, "keep-alive", 10));
    if (r->status == 101) {
        r->body = body;
        r->size = 0;
        return (size_t)(body - data);
    }
    if (coding && !strncasecmp(coding, "chunked", 7)) {
        used = take_chunks(r, body, rest);
        return used ? (size_t)(body - data) + used : 0;
    }
    if (length) {
        r->size = strtoul(length, NULL, 10);
        if (rest < r->size) return 0;
    } else {
        if (!is_end) return 0;
        r->size = rest;
    }
    r->body = body;
    return (size_t)(body - data) + r->size;
}
