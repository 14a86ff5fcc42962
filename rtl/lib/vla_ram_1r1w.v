// Memory with one read and one write port, as block RAM or UltraRAM has them.
// Does: write at the clock edge; deliver the word read at a clock edge after it (1 cycle), held until the
// next read.
// Does not: reset its content, or pass a write through to a read of the same address in the same cycle
// (the read gives the old word).
`default_nettype none
module vla_ram_1r1w #(
  parameter Width = 128,  // bits of a word
  parameter Words = 1024  // words, at least 2
) (
  input  wire                     clk_i,
  input  wire                     wr_en_i,
  input  wire [$clog2(Words)-1:0] wr_addr_i,
  input  wire [Width-1:0]         wr_data_i,
  input  wire                     rd_en_i,
  input  wire [$clog2(Words)-1:0] rd_addr_i,
  output reg  [Width-1:0]         rd_data_o
);

  reg [Width-1:0] mem [0:Words-1] /*verilator public_flat*/;  // the harness clears and reads it

  always @(posedge clk_i) begin
    if (wr_en_i) mem[wr_addr_i] <= wr_data_i;
    if (rd_en_i) rd_data_o <= mem[rd_addr_i];
  end

  generate
    if (Words < 2) begin : g_check
      vla_bad_parameter_ram_words_at_least_2 u_bad ();
    end
  endgenerate

endmodule
`default_nettype wire
