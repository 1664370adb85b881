"""Pictures: the GAN that generates them, the CNN that reads them, and their evaluation. Pure."""
