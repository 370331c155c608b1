/* Tells callgrind where a step begins and ends; nothing where no valgrind runs this. */

#include <valgrind/callgrind.h>

void step_begin(void) {
    CALLGRIND_START_INSTRUMENTATION;
    CALLGRIND_ZERO_STATS;
}

void step_end(const char *name) {
    CALLGRIND_DUMP_STATS_AT(name);
    CALLGRIND_STOP_INSTRUMENTATION;
}
