"""What a network is run on: draws from data, synthetic input, texts as token ids, arrays of a user."""
