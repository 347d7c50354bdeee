"""Search: many configurations, chosen by a sampler, of which one is the greenest."""
