/* The server's half of a WebSocket handshake: the answer to a key, by SHA-1 (RFC 3174). */

#include "wire.h"

static inline uint32_t turned(uint32_t word, int by) { return word << by | word >> (32 - by); }

static inline void sha1_block(uint32_t state[5], const uint8_t *block) {
    uint32_t w[80], a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
    for (int n = 0; n < 16; n++)
        w[n] = (uint32_t)block[4 * n] << 24 | block[4 * n + 1] << 16 | block[4 * n + 2] << 8 |
               block[4 * n + 3];
    for (int n = 16; n < 80; n++) w[n] = turned(w[n - 3] ^ w[n - 8] ^ w[n - 14] ^ w[n - 16], 1);
    for (int n = 0; n < 80; n++) {
        uint32_t f = n < 20   ? ((b & c) | (~b & d)) + 0x5a827999
                     : n < 40 ? (b ^ c ^ d) + 0x6ed9eba1
                     : n < 60 ? ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdc
                              : (b ^ c ^ d) + 0xca62c1d6;
        uint32_t sum = turned(a, 5) + f + e + w[n];
        e = d, d = c, c = turned(b, 30), b = a, a = sum;
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d, state[4] += e;
}

/* Writes the base64 of the SHA-1 of a text of at most 119 bytes: 28 characters and a zero. */
static inline void sha1_base64(const char *text, char *out) {
    uint32_t state[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    size_t size = strlen(text), whole = size < 56 ? 64 : 128;
    uint8_t data[128] = {0}, digest[20];
    memcpy(data, text, size);
    data[size] = 0x80;
    for (int n = 0; n < 4; n++) data[whole - 1 - n] = (uint8_t)(size * 8 >> 8 * n);
    for (size_t at = 0; at < whole; at += 64) sha1_block(state, data + at);
    for (int n = 0; n < 20; n++) digest[n] = state[n / 4] >> (24 - 8 * (n % 4));
    base64_encode(digest, sizeof digest, out);
    out[28] = 0;
}

/* Makes the answer to an upgrade; its length, 0 where the head has no key. */
static inline int handshake_answer(char *head, char *out, size_t room) {
    char joined[120], accept[32];
    char *key = strcasestr(head, "sec-websocket-key:");
    if (!key) return 0;
    key += strcspn(key, ":") + 1;
    key += strspn(key, " ");
    snprintf(joined, sizeof joined, "%.*s258EAFA5-E914-47DA-95CA-C5AB0DC85B11",
             (int)strcspn(key, " \r\n"), key);
    sha1_base64(joined, accept);
    return snprintf(out, room,
                    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                    "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
                    accept);
}
