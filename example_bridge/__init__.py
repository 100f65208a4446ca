"""What bridgekit is shown with: the reference network webchat and its bridge, and the smallest bridge there is."""
