"""A small recurrent network that hears spoken digits: to press, and to prove that it keeps what it learned."""
