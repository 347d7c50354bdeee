"""Where the joules come from: one module per source, all behind `base.Source`."""
