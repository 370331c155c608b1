"""What a gateway does about calls: answers, joins, sends on errands, ends, writes down."""
