"""PURE. Redis as the services see it, and the processes themselves."""

from __future__ import annotations

from deploy.grafana.board import RATE, Board, Panel, Query, Unit, Variable, per_minute, quantiles

_ON = 'job=~"$job", instance=~"$instance"'
_NAME = "{{job}} {{instance}}"

HOST = Board(
    "host",
    "Parley: Redis and host",
    "Redis as the services see it, and the processes themselves.",
    (
        Panel(
            "Redis commands",
            "A second, by what they are for.",
            (
                Query(
                    f"sum by (operation) (rate(voice_bus_command_seconds_count{{{_ON}}}[{RATE}]))"
                ),
            ),
            Unit.PER_SECOND,
            is_stacked=True,
        ),
        Panel(
            "How fast Redis answers",
            "99th percentile, by service.",
            quantiles("voice_bus_command_seconds", by="job", where=_ON, of=(0.99,)),
            Unit.SECONDS,
            warn=0.05,
            bad=0.25,
        ),
        Panel(
            "Redis that does not answer",
            "Commands that failed and subscriptions that began again, a minute; how long a gateway"
            " has not seen the pool; changes of records that wait in memory.",
            (
                per_minute("voice_bus_errors_total", by="operation"),
                Query(
                    f"sum(rate(voice_bus_subscription_reconnects_total[{RATE}])) * 60",
                    "subscriptions begun again",
                ),
                Query("max(voice_gateway_pool_age_seconds)", "pool not seen, s"),
                Query("sum(voice_bus_waiting_changes)", "changes waiting"),
            ),
            bad=15,
        ),
        Panel(
            "CPU",
            "Cores in use, by process. At 1 a process can do no more.",
            (Query(f"rate(process_cpu_seconds_total{{{_ON}}}[{RATE}])", _NAME),),
            Unit.CORES,
            warn=0.7,
            bad=0.9,
        ),
        Panel(
            "Loop lag",
            "How late a process comes to what is due, 99th percentile.",
            (
                Query(
                    "histogram_quantile(0.99, sum by (job, instance, le)"
                    f" (rate(voice_runtime_loop_lag_seconds_bucket{{{_ON}}}[{RATE}])))",
                    _NAME,
                ),
            ),
            Unit.SECONDS,
            warn=0.02,
            bad=0.1,
        ),
        Panel(
            "Memory",
            "Resident, by process. What grows with calls falls again when they are over.",
            (Query(f"process_resident_memory_bytes{{{_ON}}}", _NAME),),
            Unit.BYTES,
        ),
        Panel(
            "Open files and sockets",
            "As a share of what the system allows.",
            (Query(f"process_open_fds{{{_ON}}} / process_max_fds{{{_ON}}}", _NAME),),
            Unit.SHARE,
            warn=0.5,
            bad=0.8,
        ),
        Panel(
            "Tasks, and those that failed",
            "Tasks grow with calls; a failed one is a bug.",
            (
                Query(f"voice_runtime_tasks{{{_ON}}}", _NAME),
                per_minute("voice_runtime_task_failures_total", by="owner"),
                Query(
                    f"sum(rate(voice_agent_sessions_crashed_total[{RATE}])) * 60", "calls crashed"
                ),
            ),
        ),
        Panel(
            "Garbage collections",
            "A minute, of the oldest generation: each stops a process for some milliseconds.",
            (
                Query(
                    f'rate(python_gc_collections_total{{{_ON}, generation="2"}}[{RATE}]) * 60',
                    _NAME,
                ),
            ),
            Unit.PER_MINUTE,
        ),
    ),
    (
        Variable("job", "voice_runtime_tasks"),
        Variable("instance", "voice_runtime_tasks"),
    ),
)
