// When what was said ended. A record tells when each thing began; the rest follows from what came
// next and from what the platform noted down.

/** The spoken entries of a transcript, in order, each with `until_ms`. */
export function spokenTurns(transcript, marks, durationMs) {
  const spoken = transcript.filter((entry) => !entry.kind);
  return spoken.map((entry, n) => ({ ...entry, until_ms: entry.until_ms ?? endOf(entry, spoken[n + 1], marks, durationMs) }));
}

function endOf(entry, next, marks, durationMs) {
  const latestMs = next?.at_ms ?? durationMs;
  const answeredAfterMs = next?.latency_ms?.total;
  if (entry.who === "caller" && answeredAfterMs < latestMs - entry.at_ms) return latestMs - answeredAfterMs;
  if (entry.who === "caller") return latestMs;
  const isWithin = ({ at_ms: at }) => at > entry.at_ms && (at <= latestMs || entry.is_interrupted);
  const heard = marks.filter((mark) => isWithin(mark) && mark.kind === (entry.is_interrupted ? "clear" : "checkpoint"));
  const end = entry.is_interrupted ? heard[0] : heard.at(-1);
  return end?.at_ms ?? latestMs;
}
