/* The floor under an agent's server: reads a call's frames, decodes them, sends one each 20 ms.
 *
 *   paced [--stamp] [--burst N]      prints its port; commands by stdin as load.c's, but for `call`
 *
 * With --stamp it is the far end of a relay: it writes the time into what it sends, and measures
 * how long what comes in was under way. With --burst it writes so many frames at once, and as much
 * more seldom.
 */

#include "handshake.h"

#define MOST_CALLS 2000
#define MOST_BURST 50
#define SLOTS 20 /* of a frame's 20 ms; in each, a part of the calls is served in one pass */

typedef struct {
    int fd, is_open, slot, turn;
    uint8_t in[IN_BYTES];
    size_t in_size;
} Call;

static Times delay, late;
static uint64_t sent, received, dropped;
static int64_t decoded; /* a sum of what was decoded, so that it is not left out */
static Call *calls[MOST_CALLS];
static int count, epoll, has_stamps, is_paused, burst = 1;
static uint8_t value_of_char[256];

static void begin(void) {
    memset(&delay, 0, sizeof delay);
    memset(&late, 0, sizeof late);
    sent = received = dropped = 0;
}

static void report(void) {
    printf("{\"calls\":%d,\"sent\":%llu,\"received\":%llu,\"dropped\":%llu,\"decoded\":%lld,", count,
           (unsigned long long)sent, (unsigned long long)received, (unsigned long long)dropped,
           (long long)decoded);
    times_print("delay_ms", &delay);
    printf(",");
    times_print("late_ms", &late);
    printf("}\n");
    fflush(stdout);
}

static void decode(const uint8_t *payload, size_t chars) {
    uint8_t bytes[IN_BYTES];
    size_t size = 0;
    for (size_t at = 0; at + 4 <= chars && size + 3 <= sizeof bytes; at += 4) {
        uint32_t three = 0;
        for (int n = 0; n < 4; n++) three = three << 6 | value_of_char[payload[at + n]];
        bytes[size++] = three >> 16, bytes[size++] = three >> 8, bytes[size++] = three;
    }
    for (size_t at = 0; at < size; at += 16) decoded += bytes[at];
}

static void put(Call *call, const void *data, size_t size) {
    if (write(call->fd, data, size) != (ssize_t)size) dropped++;
}

/* Writes the agent's next frames, all in one go. */
static void say(Call *call) {
    static const char head[] = "{\"event\":\"playAudio\",\"streamId\":\"stream\",\"media\":"
                               "{\"contentType\":\"audio/x-mulaw\",\"sampleRate\":8000,"
                               "\"payload\":\"";
    static const char tail[] = "\"}}";
    enum { SIZE = sizeof head - 1 + FRAME_CHARS + sizeof tail - 1 };
    uint8_t frames[MOST_BURST * (SIZE + 4)], *at = frames;
    for (int n = 0; n < burst; n++) {
        at += frame_header(at, OP_TEXT, SIZE, NULL);
        memcpy(at, head, sizeof head - 1);
        at += sizeof head - 1;
        memset(at, 'A', FRAME_CHARS);
        if (has_stamps) stamp((char *)at);
        at += FRAME_CHARS;
        memcpy(at, tail, sizeof tail - 1);
        at += sizeof tail - 1;
    }
    put(call, frames, at - frames);
    sent += burst;
}

static void say_due(int slot, int turn) {
    for (int n = 0; n < count && !is_paused; n++) {
        Call *call = calls[n];
        if (call->is_open && call->slot == slot && call->turn == turn % burst) say(call);
    }
}

static void on_frame(Call *call, const Frame *frame, int64_t at_ns) {
    size_t chars;
    if (frame->opcode == OP_PING) {
        uint8_t pong[140];
        size_t head = frame_header(pong, OP_PONG, frame->size, NULL);
        memcpy(pong + head, frame->body, frame->size);
        put(call, pong, head + frame->size);
    }
    if (frame->opcode != OP_TEXT || !find(frame, "\"payload\"")) return;
    const uint8_t *payload = value_of(frame, "\"payload\"", &chars);
    if (has_stamps && chars) times_add(&delay, stamp_age_ns(payload, at_ns));
    decode(payload, chars);
    received++;
}

static void give_up(Call *call) {
    close(call->fd);
    call->fd = -1;
    call->is_open = 0;
}

static size_t on_head(Call *call) {
    char answer[512];
    uint8_t *end = memmem(call->in, call->in_size, "\r\n\r\n", 4);
    if (!end) return 0;
    *end = 0;
    put(call, answer, handshake_answer((char *)call->in, answer, sizeof answer));
    call->is_open = 1;
    return end + 4 - call->in;
}

static void on_readable(Call *call) {
    ssize_t got = read(call->fd, call->in + call->in_size, IN_BYTES - call->in_size);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) return give_up(call);
    int64_t at_ns = now_ns();
    call->in_size += got;
    size_t at = call->is_open ? 0 : on_head(call);
    Frame frame;
    while (call->is_open && frame_read(call->in + at, call->in_size - at, &frame)) {
        if (frame.opcode == OP_CLOSE) return give_up(call);
        on_frame(call, &frame, at_ns);
        at += frame.whole;
    }
    call->in_size -= at;
    memmove(call->in, call->in + at, call->in_size);
}

static void take_call(int listener) {
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0 || count == MOST_CALLS) return;
    set_up_socket(fd);
    Call *call = calloc(1, sizeof *call);
    call->fd = fd;
    call->slot = count * 7 % SLOTS;
    call->turn = count / SLOTS % burst;
    calls[count++] = call;
    watch(epoll, fd, EPOLLIN, call, EPOLL_CTL_ADD);
}

static int obey(void) {
    int over = 0;
    fcntl(0, F_SETFL, O_NONBLOCK);
    for (char *line; (line = next_line(&over));) {
        if (!strcmp(line, "begin")) begin();
        else if (!strcmp(line, "pause")) is_paused = 1;
        else if (!strcmp(line, "resume")) is_paused = 0;
        else if (!strcmp(line, "report")) report();
        else if (!strcmp(line, "quit")) over = 1;
    }
    return !over;
}

int main(int argc, char **argv) {
    for (int n = 1; n < argc; n++) {
        if (!strcmp(argv[n], "--stamp")) has_stamps = 1;
        else if (!strcmp(argv[n], "--burst") && n + 1 < argc) burst = atoi(argv[++n]);
    }
    if (burst < 1 || burst > MOST_BURST) return 2;
    for (int n = 0; n < 64; n++) value_of_char[(uint8_t)BASE64[n]] = n;
    prctl(PR_SET_TIMERSLACK, 1);
    signal(SIGPIPE, SIG_IGN);
    epoll = epoll_create1(0);
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK), listener = listen_somewhere();
    watch(epoll, 0, EPOLLIN, NULL, EPOLL_CTL_ADD);
    watch(epoll, timer, EPOLLIN, &timer, EPOLL_CTL_ADD);
    watch(epoll, listener, EPOLLIN, &listener, EPOLL_CTL_ADD);
    int64_t due_ns = now_ns();
    wake_at(timer, due_ns);
    for (int is_wanted = 1, slots = 0; is_wanted;) {
        struct epoll_event events[MOST_EVENTS];
        int ready = epoll_wait(epoll, events, MOST_EVENTS, -1);
        for (int64_t at_ns = now_ns(); due_ns <= at_ns; due_ns += FRAME_NS / SLOTS, slots++) {
            times_add(&late, at_ns - due_ns);
            say_due(slots % SLOTS, slots / SLOTS);
        }
        wake_at(timer, due_ns);
        for (int n = 0; n < ready; n++) {
            void *what = events[n].data.ptr;
            if (!what) is_wanted = obey();
            else if (what == &listener) take_call(listener);
            else if (what != &timer && ((Call *)what)->fd >= 0) on_readable(what);
        }
    }
    return 0;
}
