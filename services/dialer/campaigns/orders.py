"""PURE. The order that a campaign's row becomes."""

from __future__ import annotations

from dataclasses import dataclass, field

from services.dialer.calls.machine import MachineRule
from services.dialer.calls.order import DEFAULT_AGENT, CallOrder, check_variables
from services.dialer.campaigns.model import CAMPAIGN_MARK, ROW_MARK, Campaign, Row
from services.dialer.errors import InvalidOrder


@dataclass(frozen=True, slots=True)
class RowOrders:
    """Makes orders of rows.

    Attributes:
        from_number: the caller of campaigns that name none.
        machine_detection: of campaigns that don't say.
    """

    from_number: str | None = None
    machine_detection: MachineRule = field(default_factory=MachineRule)

    def order_of(self, campaign: Campaign, row: Row) -> CallOrder:
        """Return a row's order; its record says whose it is.

        Raises:
            InvalidOrder: there is no caller, or the campaign's variables and the row's are too
                much together.
        """
        spec = campaign.spec
        caller = spec.from_number or self.from_number
        if caller is None:
            raise InvalidOrder("from", "give a caller number, or set FROM_NUMBER")
        variables = {**spec.variables, **row.variables}
        check_variables(variables)
        wanted = MachineRule.from_json(spec.machine_detection)
        return CallOrder(
            to_number=row.to_number,
            from_number=caller,
            agent=row.agent or spec.agent or DEFAULT_AGENT,
            metadata={CAMPAIGN_MARK: campaign.campaign_id, ROW_MARK: str(row.n)},
            machine_detection=wanted or self.machine_detection,
            variables=variables,
            ring_timeout_s=spec.ring_timeout_s,
            time_limit_s=spec.time_limit_s,
            needs_agent=spec.needs_agent,
        )
