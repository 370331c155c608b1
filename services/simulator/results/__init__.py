"""What a call was like: report, recording, picture."""
