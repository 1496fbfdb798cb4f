"""What an artifact costs and how well it does its job, with the uncertainty of each number."""
