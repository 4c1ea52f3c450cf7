/* A load generator for Socket.IO servers on this machine: one thread, epoll, nothing that a server's cost would hide behind.
 *
 * What may stand where:
 *   measure.c    clocks, latencies, what the server's processes use
 *   wire.c       bytes: buffers, WebSocket frames, HTTP responses; pure
 *   net.c        descriptors: connecting, reading, writing, waiting
 *   protocol.c   how a client gets in: Engine.IO and Socket.IO, by WebSocket, by polling, by an upgrade
 *   work.c       what clients do once they are in, and the counts of it
 *   main.c       options, the phases of a run, the report: one JSON object on stdout
 */
#ifndef LOAD_H
#define LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAX_WINDOW 64
#define MAX_LIST 16

/* --- options, set once by main.c */

enum kind { ECHO, BINARY, BROADCAST, CONNECT, UPGRADE, POLL, IDLE, PAGE };

struct options {
    enum kind kind;
    int port;
    int clients;
    int window;                 /* questions that one client has in flight */
    int size;                   /* bytes of the payload; 0: the event has no argument */
    int in_flight;              /* connections that are being made at once */
    int active;                 /* clients that send; 0: all */
    int deaf;                   /* clients, the last ones, that never read once they are in */
    bool is_paced;              /* then: at half the rate that was reached before */
    bool is_browser;            /* send the headers that a browser sends */
    double warm, seconds, deadline;
    const char *events[MAX_LIST];
    int event_count;
    const char *setup;          /* an event that each client sends first, with an acknowledgement */
    int steps[MAX_LIST];        /* IDLE: numbers of clients at which memory is looked at */
    int step_count;
};
extern struct options options;

/* Print {"error": …} and end the process. */
void fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* --- measure.c */

struct histogram;
extern struct histogram *latencies, *lateness;

struct usage { uint64_t at; double server, own, all; };     /* ns; CPU seconds */
struct memory { long rss_kb, peak_kb, threads; };

uint64_t now_ns(void);
void measure_init(void);
void record(struct histogram *, uint64_t ns);
void forget(struct histogram *);
double percentile(const struct histogram *, double fraction);     /* ns */
void watch(const char *pids);
struct usage usage_now(void);
struct memory memory_now(void);

/* --- wire.c */

struct buffer { char *data; size_t size, room; };

void add(struct buffer *, const void *bytes, size_t size);
void add_text(struct buffer *, const char *text);
void drop(struct buffer *, size_t size);            /* from the front */
void release(struct buffer *);

enum opcode { CONTINUATION = 0, TEXT = 1, BINARY_DATA = 2, CLOSE = 8, PING = 9, PONG = 10 };
struct frame { enum opcode opcode; bool is_plain; char *data; size_t size; };
struct response { int status; bool is_last; char *body; size_t size; };

void add_frame(struct buffer *, enum opcode, const void *data, size_t size);     /* masked, as clients must */
size_t take_frame(struct frame *, char *data, size_t size);     /* bytes used; 0: more are needed */
size_t take_response(struct response *, char *data, size_t size, bool is_end);

/* --- clients */

enum stage { CLOSED, CONNECTING, POLLING, SWITCHING, OPENING, PROBING, PROVING, ENTERING, PREPARING, READY };
enum step { OPEN, ENTER, ENTERED, SEND, FETCH, VISIT };     /* of one that polls, or asks for a page */

struct client {
    int fd, index;
    enum stage stage;
    enum step step;
    uint32_t interest;          /* what epoll watches */
    bool is_connecting, is_in, is_deaf, owes_pong;
    unsigned opened;            /* how many connections it has had */
    int attachment_of;          /* the slot whose attachment is the next frame, or -1 */
    unsigned turn;              /* of the events that it sends */
    uint64_t in_flight;         /* a bit for each slot */
    uint64_t *asked_at;         /* by slot */
    uint64_t began;             /* connecting, or a round of polling */
    uint64_t heard;             /* broadcasts */
    int tries;
    struct buffer unread, unsent, request;
    char sid[64];
};
extern struct client *clients;

/* net.c */
void net_init(void);
void open_client(struct client *);
void close_client(struct client *);
void stop_listening(struct client *);
void transmit(struct client *, const void *bytes, size_t size);      /* with the next flush, in one write */
void flush(void);
void turn(int64_t timeout_ns);             /* wait for something to happen, and see to it */

/* protocol.c */
void connected(struct client *);                                /* TCP is there */
size_t received(struct client *, char *data, size_t size, bool is_end);      /* bytes used */
void post_event(struct client *);
void ask_for_page(struct client *);
void lost(struct client *);                 /* its connection ended, or never came to be */

/* work.c */
extern struct counts {
    int started, ready, failed, closed, reconnected;
    uint64_t asked, answered, delivered, broadcasts, missed, errors, pings;
} counts;
extern bool is_working, is_measuring;

void work_init(void);
void entered(struct client *);                                  /* it is in */
void gone(struct client *);                                     /* it was in, and has lost its connection */
void begin_work(void);
void pace(double per_second);
int64_t send_what_is_due(void);            /* ns until there is more; only a load that is paced has any */
void end_work(void);
bool is_settled(void);                     /* nothing is in flight any more */
void ask(struct client *, int slot, uint64_t at);
void on_answer(struct client *, int slot, const char *arguments, size_t size);
void on_attachment(struct client *, const char *data, size_t size);
void on_event(struct client *, const char *packet, size_t size);
void on_page(struct client *);
extern struct buffer setup_packet, proof_packet, poll_packet;

#endif
