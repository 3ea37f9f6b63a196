"""The picture of a film: clips and stills in one form, blended, and captions drawn into them."""
