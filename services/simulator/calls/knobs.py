"""PURE. What the simulated cloud may do differently: one frozen set of knobs a call.

The defaults are what the current documentation and captured calls agree on; each knob is a
variant that some account, document or third party has shown, or trouble worth rehearsing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from shared.protocol.telephony import WireShape


class SignatureKnob(StrEnum):
    """How webhooks are signed."""

    VALID = "valid"
    WRONG = "wrong"
    NONE = "none"
    MAIN_ACCOUNT_ONLY = "ma-only"


class NumberKnob(StrEnum):
    """How `From` and `To` are written in webhooks."""

    DIGITS = "digits"  # 918000000001, the usual way
    PLUS = "plus"  # +918000000001
    LEADING_ZERO = "leading-zero"  # 08000000001
    NATIONAL = "national"  # 8000000001


class ReconnectKnob(StrEnum):
    """What comes first on a second socket of the same stream."""

    A = "A"  # a fresh start with a new streamId, as documented
    B = "B"  # media only, as captured in January 2026


class HangupKnob(StrEnum):
    """How the socket learns that the call is over."""

    CLOSE_1000 = "1000"
    ABORT_1006 = "1006"
    STOP_EVENT = "stop"


@dataclass(frozen=True, slots=True)
class Knobs:
    """How this call's cloud behaves. Times are seconds of simulated time."""

    # Webhooks
    signature: SignatureKnob = SignatureKnob.VALID
    numbers: NumberKnob = NumberKnob.DIGITS
    duplicates_webhooks: bool = False
    holds_played_until_hangup: bool = False  # PlayedStream webhooks arrive after Hangup
    hangup_delay_s: float = 0.2  # 0.17 to 4.8 s were seen
    answer_timeout_s: float = 10.0
    answer_attempts: int = 3
    status_timeout_s: float = 3.0
    status_attempts: int = 4  # the first and three retries
    retry_delay_s: float = 0.5  # doubles with each attempt

    # Machine detection without a URL of its own: `Machine` in the answer webhook. No page says.
    tells_machine_in_answer: bool = True

    # The socket, from the cloud
    shape: WireShape = WireShape.CURRENT
    media_before_start: int = 0  # frames sent before `start`
    sends_dtmf_events: bool = True
    has_comfort_noise_gaps: bool = False  # no frames while the caller is quiet
    is_l16_big_endian: bool = False
    hangup: HangupKnob = HangupKnob.CLOSE_1000
    garbage_messages: int = 0  # malformed, truncated, oversized, misordered text frames
    jitter_s: float = 0.0  # frames come in bursts of up to so long
    ping_interval_s: float | None = None
    connect_timeout_s: float = 10.0

    # The socket, from the application
    needs_stream_id: bool = False  # ignore commands without streamId
    acks_empty_checkpoint: bool = False  # ack one with nothing queued since start or clear
    reports_bad_commands: bool = False  # send one incorrectPayload per stream
    clear_ack_min_s: float = 0.001
    clear_ack_max_s: float = 0.020
    loses_audio_before_ack: bool = False  # drop part of what arrives between clear and its ack
    backlog_s: float = 40.0  # media not read by the application; more drops the stream
    send_buffer_bytes: int | None = None  # of the operating system; small ones show slow readers

    # Reconnecting
    reconnect: ReconnectKnob = ReconnectKnob.A
    drop_socket_at_s: tuple[float, ...] = ()  # after the answer; each allows one more retry
    reconnect_delay_s: float = 1.0
    reconnect_to: str | None = None  # host:port of later sockets: a balancer's choice, URL as ever

    # Chance
    seed: int = 1


WIRE_SHAPES = {
    "current": WireShape.CURRENT,
    "flat": WireShape.FLAT,
    "texts": WireShape(has_text_counters=True, has_text_sample_rate=True),
    "integers": WireShape(has_int_timestamp=True, has_int_account=True),
}
