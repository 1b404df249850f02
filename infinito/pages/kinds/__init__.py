"""What the page of each kind of run says, from the files of its folder alone."""
