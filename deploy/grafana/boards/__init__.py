"""PURE. The dashboards, one a module."""

from __future__ import annotations

from deploy.grafana.board import Board
from deploy.grafana.boards.calls import CALLS
from deploy.grafana.boards.dialer import DIALER
from deploy.grafana.boards.host import HOST
from deploy.grafana.boards.pool import POOL
from deploy.grafana.boards.service_level import SERVICE_LEVEL
from deploy.grafana.boards.turns import TURNS

BOARDS: tuple[Board, ...] = (SERVICE_LEVEL, CALLS, TURNS, POOL, DIALER, HOST)
