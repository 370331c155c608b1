"""PURE. Prometheus' configuration for the local processes: the same jobs, fixed targets."""

from __future__ import annotations

import json
from pathlib import PurePath
from urllib.parse import urlsplit

from deploy.local.plan import Plan


def local_configuration(plan: Plan, *, rules: PurePath) -> str:
    """Make prometheus.yml for a plan.

    Args:
        plan: whose programs are scraped where they are ready.
        rules: the directory that holds prometheus/rules.yml and alerts.yml.

    Returns:
        JSON, which YAML includes: nothing needs quoting by hand.
    """
    targets: dict[str, list[str]] = {}
    for program in plan.programs:
        job = program.module.rpartition(".")[2]
        targets.setdefault(job, []).append(urlsplit(program.ready_url).netloc)
    return json.dumps(
        {
            "global": {"scrape_interval": "5s", "evaluation_interval": "5s"},
            "rule_files": [
                str(rules / "prometheus" / name) for name in ("rules.yml", "alerts.yml")
            ],
            "scrape_configs": [
                {"job_name": job, "static_configs": [{"targets": places}]}
                for job, places in targets.items()
                if job != "simulator"
            ],
        },
        indent=1,
    )
