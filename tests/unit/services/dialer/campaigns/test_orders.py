"""The order that a row becomes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.dialer.calls.machine import MachineDetection, MachineRule
from services.dialer.campaigns.model import Campaign, CampaignId, CampaignSpec, CampaignState, Row
from services.dialer.campaigns.orders import RowOrders
from services.dialer.errors import InvalidOrder

SPEC = CampaignSpec("test", variables={"shop": "Süd", "name": "you"})
ROW = Row(7, "+918000000002", {"name": "Asha"})
ORDERS = RowOrders("+918000000001", MachineRule(MachineDetection.DETECT))


def campaign(spec: CampaignSpec) -> Campaign:
    return Campaign(CampaignId("c-1"), spec, CampaignState.RUNNING, 0)


def test_a_row_goes_before_its_campaign_and_that_before_the_installation() -> None:
    order = ORDERS.order_of(campaign(SPEC), ROW)
    assert (order.to_number, order.from_number, order.agent) == (
        "+918000000002",
        "+918000000001",
        "default",
    )
    assert order.variables == {"shop": "Süd", "name": "Asha"}
    assert order.metadata == {"campaign": "c-1", "row": "7"}
    assert order.machine_detection.mode is MachineDetection.DETECT
    assert order.needs_agent
    own = replace(
        SPEC,
        agent="sales",
        from_number="+918000000009",
        machine_detection="off",
        ring_timeout_s=20,
        time_limit_s=60,
        needs_agent=False,
    )
    order = ORDERS.order_of(campaign(own), ROW)
    assert (order.agent, order.from_number) == ("sales", "+918000000009")
    assert (order.ring_timeout_s, order.time_limit_s, order.needs_agent) == (20, 60, False)
    assert order.machine_detection.mode is MachineDetection.OFF
    assert ORDERS.order_of(campaign(own), replace(ROW, agent="support")).agent == "support"


def test_a_row_that_can_not_be_dialled_is_refused() -> None:
    with pytest.raises(InvalidOrder):
        RowOrders().order_of(campaign(SPEC), ROW)
    crowded = replace(ROW, variables={f"v{n}": "x" for n in range(60)})
    with pytest.raises(InvalidOrder):
        ORDERS.order_of(campaign(SPEC), crowded)
