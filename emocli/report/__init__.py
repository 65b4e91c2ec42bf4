"""Pictures and pages of predictions: arrays in, SVG and HTML out.

`svg` knows marks and axes, `palette` colours, `figures` what a picture of predictions looks like,
`content` what a report is made of, and `page` how that becomes one file of HTML. Nothing here
reads tables or recordings; nothing prints.
"""
