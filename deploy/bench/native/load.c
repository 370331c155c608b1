/* The telephony cloud for many calls at once, at the price of a small part of a core.
 *
 *   load [--stamp] [--grain-us N] [--lead-ms N] AUDIO...      mu-law that lines carry, in circles
 *
 * Each call sends a frame every 20 ms on its own absolute schedule (in steps of the grain: a cloud
 * whose timer has a millisecond sends what is due in one together), keeps a handset's clock of what
 * it was given to play, and answers checkpoints and clears as the cloud does. Commands, by stdin:
 *
 *   call HOST PORT PATH AUDIO-NUMBER     open a call; lines of further headers follow, then an
 *                                        empty one
 *   begin                                measure from now on
 *   pause, resume                        callers send nothing, and send again
 *   report                               print what was measured since then, one line of JSON
 *   quit                                 hang up all calls, and end
 *
 * It measures itself too: how late it sent, and its share of a core.
 */

#include "wire.h"

#define MOST_CALLS 2000
#define MOST_MARKS 64
#define NAME_BYTES 80
#define SAME_UTTERANCE_NS 1000000000LL
#define GOLDEN 0.6180339887498949

typedef struct {
    char *frames; /* base64, one after the other */
    int count;
} Audio;

typedef struct {
    int64_t due_ns;
    char name[NAME_BYTES];
} Mark;

typedef struct {
    int fd, number, is_open, is_lost, has_hung_up;
    const Audio *audio;
    uint32_t sent;
    int64_t asked_ns, due_ns;  /* of the next frame */
    int64_t played_ns;         /* until when there is something to play */
    int64_t came_ns, burst_ns; /* the newest frames: when, and how much */
    int has_played, is_marked;
    Mark marks[MOST_MARKS];
    unsigned first_mark, end_mark;
    uint8_t in[IN_BYTES], out[IN_BYTES];
    size_t in_size, out_size;
} Call;

static struct {
    Times late, pacing, jitter, delay;
    uint64_t sent, received, underruns, marks, clears, blocked;
    int64_t began_ns, least_lead_ns;
    double cpu_s;
} seen;
static Times first_audio;
static uint64_t refused, lost;
static Call *calls[MOST_CALLS], *by_offset[MOST_CALLS];
static int count, open_count, next, epoll, timer, has_stamps, is_paused;
static int64_t grain_ns = 1, wanted_lead_ns;
static uint32_t random_state = 2463534242u;

static void begin(void) {
    memset(&seen, 0, sizeof seen);
    seen.began_ns = now_ns();
    seen.least_lead_ns = INT64_MAX;
    seen.cpu_s = cpu_s();
}

static void report(void) {
    double seconds = (now_ns() - seen.began_ns) / 1e9;
    double least_ms = seen.least_lead_ns == INT64_MAX ? 0 : seen.least_lead_ns / 1e6;
    printf("{\"seconds\":%.3f,\"calls\":%d,\"open\":%d,\"refused\":%llu,\"lost\":%llu,", seconds,
           count, open_count, (unsigned long long)refused, (unsigned long long)lost);
    printf("\"sent\":%llu,\"received\":%llu,\"underruns\":%llu,\"checkpoints\":%llu,\"clears\":%llu,",
           (unsigned long long)seen.sent, (unsigned long long)seen.received,
           (unsigned long long)seen.underruns, (unsigned long long)seen.marks,
           (unsigned long long)seen.clears);
    printf("\"blocked\":%llu,\"least_lead_ms\":%.1f,\"cpu_share\":%.4f,",
           (unsigned long long)seen.blocked, least_ms, (cpu_s() - seen.cpu_s) / seconds);
    times_print("late_ms", &seen.late);
    printf(",");
    times_print("pacing_ms", &seen.pacing);
    printf(",");
    times_print("jitter_ms", &seen.jitter);
    printf(",");
    times_print("delay_ms", &seen.delay);
    printf(",");
    times_print("first_audio_ms", &first_audio);
    printf("}\n");
    fflush(stdout);
}

/* --- writing -------------------------------------------------------------------------------- */

static void give_up(Call *call) {
    if (call->fd < 0) return;
    close(call->fd);
    call->fd = -1;
    if (!call->has_hung_up) {
        call->is_lost = 1;
        call->is_open ? lost++ : refused++;
    }
    if (call->is_open) open_count--;
    call->is_open = 0;
}

static void flush_out(Call *call) {
    ssize_t wrote = write(call->fd, call->out, call->out_size);
    if (wrote < 0 && errno != EAGAIN) return give_up(call);
    if (wrote > 0) {
        call->out_size -= wrote;
        memmove(call->out, call->out + wrote, call->out_size);
    }
    uint32_t events = EPOLLIN | (call->out_size ? EPOLLOUT : 0);
    watch(epoll, call->fd, events, call, EPOLL_CTL_MOD);
}

static void put(Call *call, const uint8_t *data, size_t size) {
    if (call->fd < 0) return;
    ssize_t wrote = call->out_size ? 0 : write(call->fd, data, size);
    if (wrote < 0 && errno != EAGAIN) return give_up(call);
    if (wrote < 0) wrote = 0;
    if ((size_t)wrote == size) return;
    seen.blocked++;
    if (call->out_size + size - wrote > IN_BYTES) return; /* seconds behind: its report is spoilt */
    memcpy(call->out + call->out_size, data + wrote, size - wrote);
    call->out_size += size - wrote;
    watch(epoll, call->fd, EPOLLIN | EPOLLOUT, call, EPOLL_CTL_MOD);
}

static void send_frame(Call *call, int opcode, const char *body, size_t size) {
    uint8_t frame[4096];
    random_state ^= random_state << 13, random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    uint8_t mask[4];
    memcpy(mask, &random_state, 4);
    size_t head = frame_header(frame, opcode, size, mask);
    memcpy(frame + head, body, size);
    apply_mask(frame + head, size, mask);
    put(call, frame, head + size);
}

static void send_start(Call *call) {
    char text[512];
    int size = snprintf(
        text, sizeof text,
        "{\"sequenceNumber\":0,\"event\":\"start\",\"start\":{\"callId\":\"call-%d\",\"streamId\":"
        "\"stream-%d\",\"accountId\":\"528191\",\"tracks\":[\"inbound\"],\"mediaFormat\":"
        "{\"encoding\":\"audio/x-mulaw\",\"sampleRate\":8000}},\"extra_headers\":\"{}\"}",
        call->number, call->number);
    send_frame(call, OP_TEXT, text, size);
}

static void send_media(Call *call) {
    char text[768];
    uint32_t chunk = ++call->sent;
    int at = snprintf(text, sizeof text,
                      "{\"sequenceNumber\":%u,\"streamId\":\"stream-%d\",\"event\":\"media\","
                      "\"media\":{\"track\":\"inbound\",\"timestamp\":\"%llu\",\"chunk\":%u,"
                      "\"payload\":\"",
                      chunk, call->number, 1790921506412ULL + 20ULL * chunk, chunk);
    int frame = (chunk + 7 * call->number) % call->audio->count;
    memcpy(text + at, call->audio->frames + (size_t)frame * FRAME_CHARS, FRAME_CHARS);
    if (has_stamps) stamp(text + at);
    at += FRAME_CHARS;
    static const char tail[] = "\"},\"extra_headers\":\"{}\"}";
    memcpy(text + at, tail, sizeof tail - 1);
    send_frame(call, OP_TEXT, text, at + sizeof tail - 1);
    seen.sent++;
}

static void send_played(Call *call, int64_t at_ns) {
    while (call->first_mark != call->end_mark) {
        Mark *mark = &call->marks[call->first_mark % MOST_MARKS];
        if (mark->due_ns > at_ns) return;
        char text[256];
        int size = snprintf(text, sizeof text, "{\"event\":\"playedStream\",\"name\":\"%s\"}",
                            mark->name);
        call->first_mark++;
        seen.marks++;
        send_frame(call, OP_TEXT, text, size);
    }
}

/* --- what the platform sends ---------------------------------------------------------------- */

/* How much less a handset has in hand when more comes than is to be kept ahead: so late is the
 * platform. It may write several frames at a time: the first of them counts. */
static void note_lead(Call *call, int64_t lead_ns, int64_t at_ns) {
    int64_t apart_ns = at_ns - call->came_ns;
    if (apart_ns < FRAME_NS / 2) return;
    if (lead_ns > 0) {
        times_add(&seen.pacing, lead_ns < wanted_lead_ns ? wanted_lead_ns - lead_ns : 0);
        times_add(&seen.jitter, llabs(apart_ns - call->burst_ns));
        if (lead_ns < seen.least_lead_ns) seen.least_lead_ns = lead_ns;
    }
    call->came_ns = at_ns;
    call->burst_ns = 0;
}

static void on_audio(Call *call, const Frame *frame, int64_t at_ns) {
    size_t chars;
    uint8_t *payload = value_of(frame, "\"payload\"", &chars);
    if (!chars) return;
    if (has_stamps) times_add(&seen.delay, stamp_age_ns(payload, at_ns));
    int64_t bytes = chars / 4 * 3 - (payload[chars - 1] == '=') - (payload[chars - 2] == '=');
    int64_t dry_ns = at_ns - call->played_ns;
    if (!call->has_played) times_add(&first_audio, at_ns - call->asked_ns);
    if (dry_ns > 0) {
        if (call->has_played && !call->is_marked && dry_ns < SAME_UTTERANCE_NS) seen.underruns++;
        call->played_ns = at_ns;
    }
    note_lead(call, call->played_ns - at_ns, at_ns);
    call->played_ns += bytes * BYTE_NS;
    call->burst_ns += bytes * BYTE_NS;
    call->has_played = 1;
    call->is_marked = 0;
    seen.received += (bytes + FRAME_BYTES / 2) / FRAME_BYTES;
}

static void on_checkpoint(Call *call, const Frame *frame) {
    size_t size;
    uint8_t *name = value_of(frame, "\"name\"", &size);
    call->is_marked = 1;
    if (!size || size >= NAME_BYTES || call->end_mark - call->first_mark == MOST_MARKS) return;
    Mark *mark = &call->marks[call->end_mark++ % MOST_MARKS];
    mark->due_ns = call->played_ns;
    memcpy(mark->name, name, size);
    mark->name[size] = 0;
}

static void on_clear(Call *call, int64_t at_ns) {
    char text[128];
    int size = snprintf(text, sizeof text,
                        "{\"event\":\"clearedAudio\",\"streamId\":\"stream-%d\"}", call->number);
    if (call->played_ns > at_ns) call->played_ns = at_ns;
    call->first_mark = call->end_mark;
    call->is_marked = 1;
    seen.clears++;
    send_frame(call, OP_TEXT, text, size);
}

static void on_frame(Call *call, const Frame *frame, int64_t at_ns) {
    if (frame->opcode == OP_PING) send_frame(call, OP_PONG, (char *)frame->body, frame->size);
    if (frame->opcode == OP_CLOSE) give_up(call);
    if (frame->opcode != OP_TEXT) return;
    if (find(frame, "\"playAudio\"")) on_audio(call, frame, at_ns);
    else if (find(frame, "\"checkpoint\"")) on_checkpoint(call, frame);
    else if (find(frame, "\"clearAudio\"")) on_clear(call, at_ns);
}

static size_t on_head(Call *call, int64_t at_ns) {
    uint8_t *end = memmem(call->in, call->in_size, "\r\n\r\n", 4);
    if (!end) return 0;
    if (memcmp(call->in, "HTTP/1.1 101", 12)) {
        give_up(call);
        return 0;
    }
    call->is_open = 1;
    open_count++;
    call->asked_ns = at_ns;
    send_start(call);
    return end + 4 - call->in;
}

static void on_readable(Call *call) {
    ssize_t got = read(call->fd, call->in + call->in_size, IN_BYTES - call->in_size);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) return give_up(call);
    int64_t at_ns = now_ns();
    call->in_size += got;
    size_t at = call->is_open ? 0 : on_head(call, at_ns);
    Frame frame;
    while (call->is_open && frame_read(call->in + at, call->in_size - at, &frame)) {
        on_frame(call, &frame, at_ns);
        at += frame.whole;
    }
    call->in_size -= at;
    memmove(call->in, call->in + at, call->in_size);
}

/* --- commands ------------------------------------------------------------------------------- */

/* Calls in the order of their places within the 20 ms; each has the golden section's next. All are
 * due within one round of the soonest, so that who comes next is due next. */
static void schedule(Call *call) {
    double place = call->number * GOLDEN;
    int64_t offset_ns = (int64_t)((place - (int64_t)place) * FRAME_NS) / grain_ns * grain_ns;
    int64_t soonest_ns = count ? by_offset[next]->due_ns : now_ns();
    int64_t wait_ns = (offset_ns - soonest_ns % FRAME_NS + FRAME_NS) % FRAME_NS;
    call->due_ns = soonest_ns + wait_ns;
    int at = count++;
    for (; at > 0 && by_offset[at - 1]->due_ns % FRAME_NS > offset_ns; at--)
        by_offset[at] = by_offset[at - 1];
    by_offset[at] = call;
    if (count > 1 && at <= next) next++;
    if (call->due_ns < by_offset[next]->due_ns) next = at;
}

static void open_call(char *line, const Audio *audios) {
    static char request[IN_BYTES];
    char host[64], path[8192];
    int port, audio, over = 0;
    if (sscanf(line, "call %63s %d %8191s %d", host, &port, path, &audio) != 4) exit(2);
    int size = snprintf(request, sizeof request,
                        "GET %s HTTP/1.1\r\nHost: %s:%d\r\nUpgrade: websocket\r\n"
                        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
                        path, host, port);
    while (!over) {
        char *header = next_line(&over);
        if (!header) continue;
        size += snprintf(request + size, sizeof request - size, "%s\r\n", header);
        if (!*header) break;
    }
    Call *call = calloc(1, sizeof *call);
    call->fd = connect_to(host, port);
    call->number = count;
    call->audio = &audios[audio];
    calls[count] = call;
    watch(epoll, call->fd, EPOLLIN, call, EPOLL_CTL_ADD);
    put(call, (uint8_t *)request, size);
    schedule(call);
}

static void hang_up_all(void) {
    for (int n = 0; n < count; n++) {
        if (!calls[n]->is_open) continue;
        calls[n]->has_hung_up = 1;
        send_frame(calls[n], OP_CLOSE, "\x03\xe8", 2);
        give_up(calls[n]);
    }
}

/* Obeys what was said; false: to end. */
static int obey(const Audio *audios) {
    int over = 0;
    fcntl(0, F_SETFL, O_NONBLOCK);
    for (char *line; (line = next_line(&over));) {
        if (!strncmp(line, "call ", 5) && count < MOST_CALLS) open_call(line, audios);
        else if (!strcmp(line, "begin")) begin();
        else if (!strcmp(line, "pause")) is_paused = 1;
        else if (!strcmp(line, "resume")) is_paused = 0;
        else if (!strcmp(line, "report")) report();
        else if (!strcmp(line, "quit")) over = 1;
    }
    return !over;
}

/* --- the round ------------------------------------------------------------------------------ */

static void send_due(void) {
    for (int64_t at_ns = now_ns(); count && by_offset[next]->due_ns <= at_ns; at_ns = now_ns()) {
        Call *call = by_offset[next];
        if (call->is_open && !is_paused) {
            times_add(&seen.late, at_ns - call->due_ns);
            send_played(call, at_ns);
            send_media(call);
        }
        call->due_ns += FRAME_NS;
        next = (next + 1) % count;
    }
    if (count) wake_at(timer, by_offset[next]->due_ns);
}

static void on_ready(Call *call, uint32_t events) {
    if (call->fd >= 0 && events & EPOLLOUT) flush_out(call);
    if (call->fd >= 0 && events & ~EPOLLOUT) on_readable(call);
}

static Audio read_audio(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) fail(path);
    Audio audio = {NULL, 0};
    uint8_t frame[FRAME_BYTES];
    while (fread(frame, 1, FRAME_BYTES, file) == FRAME_BYTES) {
        audio.frames = realloc(audio.frames, (size_t)(audio.count + 1) * FRAME_CHARS);
        base64_encode(frame, FRAME_BYTES, audio.frames + (size_t)audio.count++ * FRAME_CHARS);
    }
    fclose(file);
    if (!audio.count) exit(2);
    return audio;
}

int main(int argc, char **argv) {
    Audio audios[16];
    int audio_count = 0;
    for (int n = 1; n < argc && audio_count < 16; n++) {
        if (!strcmp(argv[n], "--stamp")) has_stamps = 1;
        else if (!strcmp(argv[n], "--grain-us") && n + 1 < argc) grain_ns = atoll(argv[++n]) * 1000;
        else if (!strcmp(argv[n], "--lead-ms") && n + 1 < argc)
            wanted_lead_ns = atoll(argv[++n]) * 1000000;
        else audios[audio_count++] = read_audio(argv[n]);
    }
    prctl(PR_SET_TIMERSLACK, 1);
    signal(SIGPIPE, SIG_IGN);
    epoll = epoll_create1(0);
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    watch(epoll, 0, EPOLLIN, NULL, EPOLL_CTL_ADD);
    watch(epoll, timer, EPOLLIN, &timer, EPOLL_CTL_ADD);
    begin();
    for (int is_wanted = 1; is_wanted;) {
        struct epoll_event events[MOST_EVENTS];
        int ready = epoll_wait(epoll, events, MOST_EVENTS, -1);
        send_due();
        for (int n = 0; n < ready; n++) {
            if (!events[n].data.ptr) is_wanted = obey(audios);
            else if (events[n].data.ptr != &timer) on_ready(events[n].data.ptr, events[n].events);
        }
    }
    hang_up_all();
    return 0;
}
