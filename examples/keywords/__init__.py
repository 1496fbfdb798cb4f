"""A small recurrent network that hears spoken digits: to press, and to prove that it stays as good."""
