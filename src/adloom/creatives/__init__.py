"""Pictures: the GAN that draws them, the CNN that reads them, and how both are judged. Pure."""
