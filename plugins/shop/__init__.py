"""The application whose jobs these are: a small shop's database, mail and deliveries. There are no jobs in here."""
