#define _GNU_SOURCE
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define BATCH 512
#define CLIENTS_OF_AN_ADDRESS 10000        /* the ports of one loopback address end at some 28,000 */

static int poller;
static char input[1 << 20];
static struct buffer output;               /* what waits to be sent at once, */
static struct client *writer;              /* by this client */

void net_init(void)
{
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (poller < 0) fail("epoll_create1: errno %d", errno);
}

static void watch_for(struct client *c, uint32_t interest)
{
    if (c->fd < 0 || c->interest == interest) return;
    struct epoll_event event = {.events = interest, .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &event);
    c->interest = interest;
}

void open_client(struct client *c)
{
    int on = 1;
    struct sockaddr_in here = {.sin_family = AF_INET}, there = {.sin_family = AF_INET, .sin_port = htons((uint16_t)options.port)};
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t)(c->index / CLIENTS_OF_AN_ADDRESS));
    there.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) fail("no descriptor for client %d: errno %d; see ulimit -n", c->index, errno);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    if (c->is_deaf) {
        int little = 1 << 14;
        setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &little, sizeof little);
    }
    if (bind(c->fd, (struct sockaddr *)&here, sizeof here)) fail("bind: errno %d", errno);
    if (c->stage == CLOSED) c->stage = CONNECTING;
    c->opened++;
    c->is_connecting = true;
    struct epoll_event event = {.events = EPOLLOUT, .data.ptr = c};
    c->interest = EPOLLOUT;
    if (connect(c->fd, (struct sockaddr *)&there, sizeof there) && errno != EINPROGRESS) {
        lost(c);
        return;
    }
    epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &event);
}

void close_client(struct client *c)
{
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
    c->unread.size = c->unsent.size = 0;
}

void stop_listening(struct client *c)
{
    watch_for(c, 0);                       /* errors and ends are told all the same */
}

void transmit(struct client *c, const void *bytes, size_t size)
{
    if (writer != c) flush();
    writer = c;
    add(&output, bytes, size);
}

void flush(void)
{
    struct client *c = writer;
    size_t sent = 0;
    if (!output.size) return;
    if (c->fd >= 0) {
        if (!c->unsent.size) {
            ssize_t n = send(c->fd, output.data, output.size, MSG_NOSIGNAL);
            if (n > 0) sent = (size_t)n;
        }
        if (sent < output.size) {
            add(&c->unsent, output.data + sent, output.size - sent);
            watch_for(c, c->interest | EPOLLOUT);
        }
    }
    output.size = 0;
}

static void send_rest(struct client *c)
{
    ssize_t n = send(c->fd, c->unsent.data, c->unsent.size, MSG_NOSIGNAL);
    if (n > 0) drop(&c->unsent, (size_t)n);
    if (!c->unsent.size) {
        release(&c->unsent);
        watch_for(c, c->interest & ~(uint32_t)EPOLLOUT);
    }
}

/* Whether it still has the connection that it had: a number of a descriptor comes again. */
static bool is_same(const struct client *c, unsigned opened)
{
    return c->fd >= 0 && c->opened == opened;
}

static void read_client(struct client *c)
{
    size_t held = c->unread.size, used = 0;
    unsigned opened = c->opened;
    if (held) memcpy(input, c->unread.data, held);
    ssize_t n = recv(c->fd, input + held, sizeof input - held, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    bool is_end = n <= 0;
    size_t size = held + (is_end ? 0 : (size_t)n);
    c->unread.size = 0;
    while (is_same(c, opened) && used < size) {
        size_t step = received(c, input + used, size - used, is_end);
        if (!step) break;
        used += step;
    }
    if (is_same(c, opened)) {
        if (is_end) lost(c);
        else if (used < size) add(&c->unread, input + used, size - used);
        else if (held) release(&c->unread);
    }
    flush();
}

static int wait_for(struct epoll_event *events, int64_t timeout_ns)
{
#ifdef SYS_epoll_pwait2
    struct timespec t = {.tv_sec = timeout_ns / 1000000000, .tv_nsec = timeout_ns % 1000000000};
    int n = (int)syscall(SYS_epoll_pwait2, poller, events, BATCH, &t, NULL, (size_t)0);
    if (n >= 0 || errno != ENOSYS) return n;
#endif
    return epoll_wait(poller, events, BATCH, (int)(timeout_ns / 1000000));      /* an old kernel: a load that is paced spins */
}

void turn(int64_t timeout_ns)
{
    static struct epoll_event events[BATCH];
    int n = wait_for(events, timeout_ns > 0 ? timeout_ns : 0);
    for (int i = 0; i < n; i++) {
        struct client *c = events[i].data.ptr;
        uint32_t what = events[i].events;
        if (c->fd < 0) continue;
        if (c->is_connecting) {
            int error = 0;
            socklen_t size = sizeof error;
            getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
            if (error) {
                lost(c);
                continue;
            }
            c->is_connecting = false;
            watch_for(c, EPOLLIN);
            connected(c);
            flush();
            continue;
        }
        if (what & EPOLLOUT) send_rest(c);
        if (c->fd < 0) continue;
        if (c->is_deaf && c->stage == READY) {
            if (what & (EPOLLHUP | EPOLLERR)) lost(c);
        } else if (what & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
            read_client(c);
        }
    }
}
