"""Where specs come from. A source answers with texts, or says why it cannot be read."""
