/* What the bench's programs share: time, distributions, WebSocket frames, commands by stdin. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define FRAME_NS 20000000LL /* 20 ms of a call */
#define FRAME_BYTES 160     /* of mu-law */
#define FRAME_CHARS 216     /* of the same in base64 */
#define BYTE_NS 125000LL    /* of mu-law at 8 kHz */
#define STAMP_CHARS 16      /* the time a frame was sent at, in its payload's first characters */
#define IN_BYTES (1 << 16)
#define MOST_EVENTS 256

enum { OP_TEXT = 1, OP_CLOSE = 8, OP_PING = 9, OP_PONG = 10 };

static inline int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static inline double cpu_s(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return used.ru_utime.tv_sec + used.ru_stime.tv_sec +
           (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static inline void fail(const char *what) {
    perror(what);
    exit(1);
}

/* --- a distribution of times: bins of 10 us up to 250 ms ------------------------------------ */

#define BIN_NS 10000
#define BINS 25000

typedef struct {
    uint32_t bins[BINS];
    uint64_t count;
    int64_t max_ns;
} Times;

static inline void times_add(Times *times, int64_t ns) {
    int64_t bin = ns < 0 ? 0 : ns / BIN_NS;
    times->bins[bin < BINS ? bin : BINS - 1]++;
    times->count++;
    if (ns > times->max_ns) times->max_ns = ns;
}

static inline double times_ms(const Times *times, double share) {
    uint64_t seen = 0;
    for (int bin = 0; bin < BINS; bin++) {
        seen += times->bins[bin];
        if (times->count && seen >= share * times->count) return (bin + 0.5) * BIN_NS / 1e6;
    }
    return 0;
}

static inline void times_print(const char *name, const Times *times) {
    printf("\"%s\":{\"count\":%llu,\"p50\":%.3f,\"p95\":%.3f,\"p99\":%.3f,\"max\":%.3f}", name,
           (unsigned long long)times->count, times_ms(times, 0.50), times_ms(times, 0.95),
           times_ms(times, 0.99), times->max_ns / 1e6);
}

/* --- base64 --------------------------------------------------------------------------------- */

static const char BASE64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static inline void base64_encode(const uint8_t *bytes, size_t size, char *chars) {
    for (size_t at = 0; at < size; at += 3) {
        uint32_t three = bytes[at] << 16 | (at + 1 < size ? bytes[at + 1] << 8 : 0) |
                         (at + 2 < size ? bytes[at + 2] : 0);
        *chars++ = BASE64[three >> 18];
        *chars++ = BASE64[three >> 12 & 63];
        *chars++ = at + 1 < size ? BASE64[three >> 6 & 63] : '=';
        *chars++ = at + 2 < size ? BASE64[three & 63] : '=';
    }
}

/* --- WebSocket frames ----------------------------------------------------------------------- */

/* Writes a frame's header, of a client with its mask; returns how long it is. */
static inline size_t frame_header(uint8_t *out, int opcode, size_t size, const uint8_t *mask) {
    size_t at = 0;
    out[at++] = 0x80 | opcode;
    if (size < 126) {
        out[at++] = (mask ? 0x80 : 0) | size;
    } else {
        out[at++] = (mask ? 0x80 : 0) | 126;
        out[at++] = size >> 8;
        out[at++] = size & 255;
    }
    if (mask) {
        memcpy(out + at, mask, 4);
        at += 4;
    }
    return at;
}

static inline void apply_mask(uint8_t *data, size_t size, const uint8_t *mask) {
    uint64_t key, word;
    memcpy(&key, mask, 4);
    memcpy((uint8_t *)&key + 4, mask, 4);
    size_t at = 0;
    for (; at + 8 <= size; at += 8) {
        memcpy(&word, data + at, 8);
        word ^= key;
        memcpy(data + at, &word, 8);
    }
    for (; at < size; at++) data[at] ^= mask[at & 3];
}

typedef struct {
    int opcode;
    uint8_t *body;
    size_t size, whole; /* without and with the header */
} Frame;

/* Reads the frame that the data begins with, unmasked in place; false where not all is there. */
static inline int frame_read(uint8_t *data, size_t size, Frame *frame) {
    if (size < 2) return 0;
    size_t length = data[1] & 127, head = 2, wide = length == 126 ? 2 : length == 127 ? 8 : 0;
    if (size < head + wide) return 0;
    if (wide) length = 0;
    for (size_t n = 0; n < wide; n++) length = length << 8 | data[head++];
    const uint8_t *mask = data[1] & 128 ? data + head : NULL;
    if (mask) head += 4;
    if (size < head + length) return 0;
    if (mask) apply_mask(data + head, length, mask);
    *frame = (Frame){data[0] & 15, data + head, length, head + length};
    return 1;
}

static inline uint8_t *find(const Frame *frame, const char *text) {
    return memmem(frame->body, frame->size, text, strlen(text));
}

/* Finds the text that is the value of a key; its length is 0 where there is none. */
static inline uint8_t *value_of(const Frame *frame, const char *key, size_t *size) {
    uint8_t *end = frame->body + frame->size, *at = find(frame, key);
    *size = 0;
    if (!at) return NULL;
    at = memchr(at + strlen(key), '"', end - at - strlen(key));
    if (!at) return NULL;
    at++;
    uint8_t *close = memchr(at, '"', end - at);
    *size = close ? (size_t)(close - at) : 0;
    return at;
}

static inline void stamp(char *payload) {
    char digits[STAMP_CHARS + 1];
    snprintf(digits, sizeof digits, "%016llu", (unsigned long long)now_ns());
    memcpy(payload, digits, STAMP_CHARS);
}

static inline int64_t stamp_age_ns(const uint8_t *payload, int64_t at_ns) {
    char digits[STAMP_CHARS + 1] = {0};
    memcpy(digits, payload, STAMP_CHARS);
    return at_ns - atoll(digits);
}

/* --- sockets, the timer, commands ----------------------------------------------------------- */

static inline void set_up_socket(int fd) {
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(fd, F_SETFL, O_NONBLOCK);
}

static inline int connect_to(const char *host, int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, host, &address.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address)) fail("connect");
    set_up_socket(fd);
    return fd;
}

/* Listens on loopback and prints the port. */
static inline int listen_somewhere(void) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(fd, (struct sockaddr *)&address, size) || listen(fd, 1024)) fail("listen");
    getsockname(fd, (struct sockaddr *)&address, &size);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

static inline void watch(int epoll, int fd, uint32_t events, void *data, int how) {
    struct epoll_event event = {.events = events, .data.ptr = data};
    if (epoll_ctl(epoll, how, fd, &event)) fail("epoll_ctl");
}

static inline void wake_at(int timer, int64_t at_ns) {
    struct itimerspec when = {.it_value = {at_ns / 1000000000, at_ns % 1000000000}};
    timerfd_settime(timer, TFD_TIMER_ABSTIME, &when, NULL);
}

/* Gives the next whole line of stdin, without its end; NULL where none is there. */
static inline char *next_line(int *is_over) {
    static char held[IN_BYTES], line[IN_BYTES];
    static size_t size;
    char *end = memchr(held, '\n', size);
    if (!end) {
        ssize_t got = read(0, held + size, sizeof held - size);
        if (got == 0) *is_over = 1;
        if (got > 0) size += got;
        end = memchr(held, '\n', size);
        if (!end) return NULL;
    }
    size_t length = end - held;
    memcpy(line, held, length);
    line[length] = 0;
    size -= length + 1;
    memmove(held, end + 1, size);
    return line;
}
