"""The figures of Snapp & Shamir 2021, from run records alone."""
