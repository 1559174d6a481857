"""The page that `cf.bench.report` writes: text, tables and pictures, as HTML without scripts."""
