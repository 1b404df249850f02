"""What a sweep leaves in its folder: journal, outcomes, tables; and how it goes on from them."""
