/* The floor under a relay: bytes from one socket to another, nothing looked at.
 *
 *   relay PORT      prints its port; connects each caller to PORT; ends with its stdin
 */

#include "wire.h"

typedef struct Side {
    int fd;
    struct Side *other;
} Side;

static void pass_on(Side *side) {
    uint8_t data[IN_BYTES];
    if (side->fd < 0) return;
    ssize_t got = read(side->fd, data, sizeof data);
    if (got < 0 && errno == EAGAIN) return;
    for (ssize_t at = 0; at < got;) {
        ssize_t wrote = write(side->other->fd, data + at, got - at);
        if (wrote > 0) at += wrote;
        else if (errno != EAGAIN) got = 0;
        else poll(&(struct pollfd){side->other->fd, POLLOUT, 0}, 1, 1000);
    }
    if (got > 0) return;
    close(side->fd);
    close(side->other->fd);
    side->fd = side->other->fd = -1;
}

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    signal(SIGPIPE, SIG_IGN);
    int epoll = epoll_create1(0), listener = listen_somewhere(), port = atoi(argv[1]);
    watch(epoll, 0, EPOLLIN, NULL, EPOLL_CTL_ADD);
    watch(epoll, listener, EPOLLIN, &listener, EPOLL_CTL_ADD);
    for (;;) {
        struct epoll_event events[MOST_EVENTS];
        int ready = epoll_wait(epoll, events, MOST_EVENTS, -1);
        for (int n = 0; n < ready; n++) {
            void *what = events[n].data.ptr;
            if (!what) return 0;
            if (what != &listener) {
                pass_on(what);
                continue;
            }
            Side *caller = calloc(1, sizeof *caller), *worker = calloc(1, sizeof *worker);
            *caller = (Side){accept4(listener, NULL, NULL, SOCK_CLOEXEC), worker};
            *worker = (Side){connect_to("127.0.0.1", port), caller};
            set_up_socket(caller->fd);
            watch(epoll, caller->fd, EPOLLIN, caller, EPOLL_CTL_ADD);
            watch(epoll, worker->fd, EPOLLIN, worker, EPOLL_CTL_ADD);
        }
    }
}
