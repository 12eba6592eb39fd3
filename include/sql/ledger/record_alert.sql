-- Purpose: an alert that was sent, or could not be.
INSERT INTO pgops.alerts (kind, message, error) VALUES (%(kind)s, %(message)s, %(error)s)
