// Activation scratchpad: 16 banks of 1R1W memory, bank = word address mod 16, behind a read and a write
// crossbar.
// Does: serve, every cycle, one read address and one write address per bank; a lane with a lower index
// goes first; read lanes with the same address share one read.
// Does not: order a read and a write of the same word in the same cycle (the read gives the old word),
// remember requests that were not granted, or clear its words.
// Latency: the word of a granted read is on rd_data_o in the next cycle, for one cycle; a granted write is
// in the memory after the clock edge.
// Handshake: grant is combinational from valid and addr; valid must not depend on grant.
`default_nettype none
module vla_act_memory #(
  parameter Block    = 16,      // B, bytes of a word
  parameter ActWords = 131072,  // words
  parameter Readers  = 22,      // read lanes
  parameter Writers  = 8        // write lanes
) (
  input  wire                                 clk_i,
  input  wire                                 rst_i,
  // read lanes
  input  wire [Readers-1:0]                   rd_valid_i,
  input  wire [Readers*$clog2(ActWords)-1:0]  rd_addr_i,
  output wire [Readers-1:0]                   rd_grant_o,
  output wire [Readers*8*Block-1:0]           rd_data_o,
  // write lanes
  input  wire [Writers-1:0]                   wr_valid_i,
  input  wire [Writers*$clog2(ActWords)-1:0]  wr_addr_i,
  input  wire [Writers*8*Block-1:0]           wr_data_i,
  output wire [Writers-1:0]                   wr_grant_o
);

  localparam Banks    = 16;
  localparam WordBits = 8 * Block;
  localparam ActAw    = $clog2(ActWords);
  localparam RowAw    = ActAw - 4;       // address inside a bank
  localparam LaneAw   = $clog2(Writers);

  // Which row each bank reads: lanes are visited from the last to the first, so the first one wins.
  reg [Banks-1:0] rd_en;
  reg [RowAw-1:0] rd_row [0:Banks-1];
  integer rl, rb;
  always @* begin
    rd_en = 0;
    for (rb = 0; rb < Banks; rb = rb + 1) rd_row[rb] = 0;
    for (rl = Readers - 1; rl >= 0; rl = rl - 1) begin
      if (rd_valid_i[rl]) begin
        rd_en[rd_addr_i[rl*ActAw +: 4]]  = 1'b1;
        rd_row[rd_addr_i[rl*ActAw +: 4]] = rd_addr_i[rl*ActAw + 4 +: RowAw];
      end
    end
  end

  // Which lane each bank is written by, in the same way.
  reg [Banks-1:0]  wr_en;
  reg [LaneAw-1:0] wr_lane [0:Banks-1];
  integer wl, wb;
  always @* begin
    wr_en = 0;
    for (wb = 0; wb < Banks; wb = wb + 1) wr_lane[wb] = 0;
    for (wl = Writers - 1; wl >= 0; wl = wl - 1) begin
      if (wr_valid_i[wl]) begin
        wr_en[wr_addr_i[wl*ActAw +: 4]]   = 1'b1;
        wr_lane[wr_addr_i[wl*ActAw +: 4]] = wl[LaneAw-1:0];
      end
    end
  end

  wire [RowAw-1:0]    lane_row  [0:Writers-1];
  wire [WordBits-1:0] lane_data [0:Writers-1];
  wire [WordBits-1:0] bank_data [0:Banks-1];

  genvar g;
  generate
    for (g = 0; g < Writers; g = g + 1) begin : g_write_lane
      assign lane_row[g]   = wr_addr_i[g*ActAw + 4 +: RowAw];
      assign lane_data[g]  = wr_data_i[g*WordBits +: WordBits];
      assign wr_grant_o[g] = wr_valid_i[g] && wr_lane[wr_addr_i[g*ActAw +: 4]] == g;
    end

    for (g = 0; g < Banks; g = g + 1) begin : g_bank
      vla_ram_1r1w #(.Width(WordBits), .Words(ActWords / Banks)) u_ram (
        .clk_i(clk_i),
        .wr_en_i(wr_en[g]), .wr_addr_i(lane_row[wr_lane[g]]), .wr_data_i(lane_data[wr_lane[g]]),
        .rd_en_i(rd_en[g]), .rd_addr_i(rd_row[g]), .rd_data_o(bank_data[g])
      );
    end

    for (g = 0; g < Readers; g = g + 1) begin : g_read_lane
      reg [3:0] bank_q;  // the bank whose word the lane gets
      assign rd_grant_o[g] = rd_valid_i[g]
        && rd_row[rd_addr_i[g*ActAw +: 4]] == rd_addr_i[g*ActAw + 4 +: RowAw];
      always @(posedge clk_i) begin
        if (rd_valid_i[g]) bank_q <= rd_addr_i[g*ActAw +: 4];
      end
      assign rd_data_o[g*WordBits +: WordBits] = bank_data[bank_q];
    end

    if (ActWords < 64 || (ActWords & (ActWords - 1)) != 0) begin : g_check_words
      vla_bad_parameter_act_words_power_of_two u_bad ();
    end
    if (Writers < 2) begin : g_check_writers
      vla_bad_parameter_act_writers_at_least_2 u_bad ();
    end
  endgenerate

  wire unused_rst = rst_i;

endmodule
`default_nettype wire
